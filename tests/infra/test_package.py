"""The package as it is deployed: what is in it, what it needs, and that it works with just that."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from azure.identity import DefaultAzureCredential
from azure.storage.blob import ContainerClient

from emulator.stack import LocalAzure, local_settings
from tests.infra.package import ENVIRONMENT, ROOT, Package, build, ignoring, size
from tests.integration.conftest import exported
from tests.unit.test_architecture import app


@pytest.fixture(scope="module")
def azure() -> Iterator[LocalAzure]:
    with LocalAzure() as azure, exported(azure):
        yield azure


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return build(tmp_path_factory.mktemp("package"))


def test_it_is_the_app_and_nothing_else(package: Package) -> None:
    tops = {name.partition("/")[0] for name in package.files}

    assert tops == {"function_app.py", "functions", "host.json", "requirements.txt", "shared"}
    assert {Path(name).suffix for name in package.files} == {".py", ".json", ".txt"}


@pytest.mark.parametrize(
    "folder",
    # azd installs the project into <folder>_env, inside the project, before it packs it.
    [
        "signalbox_env",
        ".venv",
        ".azure",
        "node_modules",
        "shared/__pycache__",
        "signalbox.egg-info",
    ],
)
def test_what_tools_leave_behind_is_not_deployed(folder: str) -> None:
    assert ignoring().match_file(f"{folder}/")


def test_nothing_of_the_app_is_missing(package: Package) -> None:
    for folder in ("functions", "shared"):
        there = {str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob("*.py")}
        assert there <= set(package.files)


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_requirements_are_those_of_the_project(name: str, tmp_path: Path) -> None:
    """As `make lock` compiles them, which changes nothing that is pinned and still fits."""
    compiled = tmp_path / name
    compiled.write_text((ROOT / name).read_text())
    options = ["--extra=cli", "--group=dev", "--constraint=requirements.txt"]
    command = [
        *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--python-version=3.13"),
        *("--universal", "--generate-hashes", "--no-annotate", "--no-header", "pyproject.toml"),
        *(options if name == "requirements-dev.txt" else []),
        f"--output-file={compiled}",
    ]
    # What was looked up before need not be looked up again.
    for network in (["--offline"], []):
        done = subprocess.run(
            [*command, *network],
            cwd=ROOT,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            check=False,
        )
        if not done.returncode:
            break

    assert done.returncode == 0, done.stderr
    assert compiled.read_text() == (ROOT / name).read_text(), "run `make lock`"


@pytest.mark.parametrize(
    "name",
    ["requirements.txt", "requirements-dev.txt", "requirements-lint.txt", "requirements-audit.txt"],
)
def test_requirements_are_pinned_and_name_no_index(name: str) -> None:
    text = (ROOT / name).read_text()

    assert "://" not in text
    assert "--index" not in text
    pinned = re.findall(r"^[a-z0-9][\w.-]*==\S+.*\\\n +--hash=sha256:", text, re.MULTILINE)
    assert len(pinned) == len(re.findall(r"^[a-z0-9]", text, re.MULTILINE))


def test_it_serves_an_event_from_its_requirements_alone(
    package: Package, azure: LocalAzure, counted: Any
) -> None:
    """What cannot be read becomes a dead letter, which shows that state was reached and written."""
    event = {
        "id": "",
        "topic": "/subscriptions/s/storageAccounts/contosolake",
        "subject": "/blobServices/default/containers/landing/blobs/packaged.csv",
        "eventType": "Microsoft.Storage.BlobCreated",
        "eventTime": datetime.now(UTC).isoformat(),
        "data": {"api": "PutBlob"},
        "dataVersion": "",
    }
    assert _dead_letters(azure) == []
    told = _serve(package, azure, event)

    assert told["succeeded"], told["error"]
    assert told["functions"] == sorted(one["name"] for one in app()["functions"])
    assert len(_dead_letters(azure)) == 1
    # Nothing came from the project's own folder or environment.
    home = package.app.parent
    assert all(Path(file).is_relative_to(home) for file in told["from"].values()), told["from"]
    again = _serve(package, azure, event)
    assert len(_dead_letters(azure)) == 1
    counted(
        f"The package: {package.archive.stat().st_size / 1024:.0f} KiB, "
        f"with its requirements {size(package.python.parents[1] / 'lib') / 2**20:.0f} MiB; "
        f"imported and indexed in {told['seconds']:.1f} s, {again['seconds']:.1f} s when compiled"
    )


def test_it_stays_far_from_azure_s_limits(package: Package) -> None:
    """Remote build ends after a minute, indexing after two; a package is at most 1 GB."""
    assert package.archive.stat().st_size < 2**20
    assert size(package.python.parents[1] / "lib") < 250 * 2**20


def _serve(package: Package, azure: LocalAzure, event: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [
            *(package.python, "-I", ROOT / "tests/infra/serve_one.py"),
            *(package.app, package.platform, "blob_uploads", json.dumps(event)),
        ],
        env={**azure.environment, **local_settings(ROOT), "PATH": "/usr/bin:/bin"},
        cwd=package.app,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def _dead_letters(azure: LocalAzure) -> list[str]:
    account = azure.topology.account("signalboxstate").url
    with ContainerClient(account, "signalbox-state", DefaultAzureCredential()) as container:
        return [str(name) for name in container.list_blob_names(name_starts_with="history/")]
