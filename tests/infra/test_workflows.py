"""The workflows: no secret, nothing that can be swapped under us, every parameter handed over."""

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.publishing import OWNER, publish
from shared.settings import Settings
from tests.infra.bicep import INFRA, ROOT
from tests.unit.pages import page

FILES = sorted((ROOT / ".github/workflows").glob("*.yml"))


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


def _deploy() -> dict[str, Any]:
    found: dict[str, Any] = _read(ROOT / ".github/workflows/deploy.yml")["jobs"]["deploy"]
    return found


def test_there_is_one_for_each_thing() -> None:
    assert [path.stem for path in FILES] == ["audit", "deploy", "publish", "test"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_workflow_knows_a_secret(path: Path) -> None:
    assert "secrets." not in path.read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_actions_are_pinned_to_commits(path: Path) -> None:
    for line in path.read_text().splitlines():
        if "uses:" in line:
            assert re.search(r"uses: [\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_input_is_pasted_into_a_script(path: Path) -> None:
    for job in _read(path)["jobs"].values():
        for step in job["steps"]:
            assert "${{" not in step.get("run", ""), step


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_may_only_what_it_needs(path: Path) -> None:
    signs_in = "azure/login" in path.read_text()

    expected = {"contents": "read"} | ({"id-token": "write"} if signs_in else {})
    assert _read(path)["permissions"] == expected
    for job in _read(path)["jobs"].values():
        assert job["timeout-minutes"] <= 60
        # Who approves is said there, and the federated credential names it.
        assert ("environment" in job) == signs_in


def test_every_parameter_is_handed_over() -> None:
    given = json.loads((INFRA / "main.parameters.json").read_text())["parameters"]
    parameters = {value["value"].strip("${}") for value in given.values()}
    handed = _deploy()["env"]

    assert {name for name in parameters if name.startswith("INFRA_")} <= set(handed)
    for name, value in handed.items():
        if name != "AZURE_ENV_NAME":
            assert value == f"${{{{ vars.{name} }}}}"


def test_the_page_s_lines_call_the_workflow_with_what_it_takes() -> None:
    said: dict[Any, Any] = _read(ROOT / ".github/workflows/publish.yml")
    [lines] = [block.text for block in page("docs/deploy.md").blocks("yml")]
    [job] = yaml.safe_load(lines)["jobs"].values()

    assert job["uses"].split("@")[0].endswith("/.github/workflows/publish.yml")
    assert set(job["with"]) == set(said[True]["workflow_call"]["inputs"])
    by_hand = said[True]["workflow_dispatch"]["inputs"]
    for owner in (job["with"]["owner"], by_hand["owner"]["default"]):
        assert re.fullmatch(OWNER, owner)


def test_publishing_has_the_settings_that_it_reads() -> None:
    given = _read(ROOT / ".github/workflows/publish.yml")["jobs"]["publish"]["env"]
    fields = {str(field.alias): field for field in Settings.model_fields.values()}
    needed = {name for name, field in fields.items() if field.is_required() and field.alias}

    assert needed <= set(given)
    for name in ("SIGNALBOX_EVENTS_QUEUE", "SIGNALBOX_EVENTS_TOPIC"):
        assert given[name] == f"${{{{ vars.{name} || '{fields[name].default}' }}}}"
    for name in set(given) - {"FOLDER", "OWNER"}:
        assert f"vars.{name} " in given[name], name
        assert f"`{name}`" in page("docs/deploy.md").text, name


def test_publishing_reads_variables_as_the_template_does(tmp_path: Path) -> None:
    steps = _read(ROOT / ".github/workflows/publish.yml")["jobs"]["publish"]["steps"]
    [script] = [step["run"] for step in steps if "GITHUB_ENV" in step.get("run", "")]
    for given, expected in (
        ("stage=prod, filter=a=b ,", "SIGNALBOX_VAR_STAGE=prod\nSIGNALBOX_VAR_FILTER=a=b\n"),
        ("", ""),
    ):
        (tmp_path / "env").write_text("")
        environment = {"INFRA_VARIABLES": given, "GITHUB_ENV": str(tmp_path / "env")}
        subprocess.run(["bash", "-euo", "pipefail", "-c", script], env=environment, check=True)
        assert (tmp_path / "env").read_text() == expected


def test_the_command_takes_what_the_workflow_gives_it() -> None:
    steps = _read(ROOT / ".github/workflows/publish.yml")["jobs"]["publish"]["steps"]
    lines = [step["run"] for step in steps if step.get("run", "").startswith("signalbox ")]
    known = {option for parameter in publish.params for option in parameter.opts}

    assert len(lines) == 2
    for line in lines:
        command, folder, *rest = shlex.split(line)[1:]
        assert (command, folder) == ("publish", "definitions/$FOLDER")
        assert {word for word in rest if word.startswith("-")} <= known


def test_dev_test_and_prod_are_environments() -> None:
    for name in ("deploy", "publish"):
        # YAML reads the key `on` as true.
        said: dict[Any, Any] = _read(ROOT / f".github/workflows/{name}.yml")
        inputs = said[True]["workflow_dispatch"]["inputs"]
        assert inputs["environment"]["options"] == ["dev", "test", "prod"]
