"""Publishing against the emulator: by two at once, stopped half way, and once more."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from azure.ai.ml import MLClient
from azure.ai.ml.entities import Environment
from azure.core.exceptions import ResourceNotFoundError
from azure.identity import DefaultAzureCredential
from azure.storage.blob import ContainerClient
from click.testing import CliRunner

from cli.main import main
from emulator.stack import LocalAzure, local_settings
from shared.blob_state import AzureBlobState
from shared.changes import Change, Did
from shared.errors import JobRejected, WorkspaceUnavailable
from shared.index import Index
from shared.progress import How, Progress
from shared.published import Published
from shared.publishing import Publishing
from shared.workspace import AzureWorkspace
from tests.integration.test_faults import Control
from tests.integration.workspace import clear_requests, eventually, requests, unique

_APP = Path(__file__).resolve().parents[2]
_STEPS = ("first", "second", "third")
_REFUSED = {"status": 400, "body": {"error": {"code": "UserError", "message": "bad image"}}}


class Desk:
    """A folder of two pipelines with code and a trigger, and a state container of its own."""

    def __init__(self, azure: LocalAzure, ml: MLClient, folder: Path) -> None:
        self.azure, self.ml, self.folder = azure, ml, folder
        #: In every name, so that no other test has registered it.
        self.mark = unique("p")
        self.pipelines = [f"{self.mark}_{name}" for name in ("one", "two")]
        for name in self.pipelines:
            code = folder / "code" / name
            code.mkdir(parents=True)
            (code / "step.py").write_text(f"print('{name}')\n")
            steps = "".join(
                f"  {step}: {{type: command, command: python step.py {step}, "
                f"code: ../code/{name}, environment: 'azureml:plain:1'}}\n"
                for step in _STEPS
            )
            file = folder / "pipelines" / f"{name}.yml"
            file.parent.mkdir(exist_ok=True)
            file.write_text(f"type: pipeline\njobs:\n{steps}")
        (folder / "triggers").mkdir()
        (folder / "triggers/came.yml").write_text(
            f"name: came\nspec: {{http: {{}}}}\naction: {{pipeline: {self.pipelines[0]}}}\n"
        )
        self._account = azure.topology.account("signalboxstate").url
        self._container = self.mark.replace("_", "-")
        self.state = ContainerClient(self._account, self._container, DefaultAzureCredential())
        self.state.create_container()

    def publishing(self) -> Publishing:
        """What a publisher of its own has: nothing is shared with others but Azure."""
        topology, credential = self.azure.topology, DefaultAzureCredential()
        blobs = AzureBlobState(self._account, self._container, credential)
        names = (topology.subscription_id, topology.resource_group, topology.workspace.name)
        return Publishing(
            Published(blobs), Index(blobs), AzureWorkspace(*names, credential), listens=()
        )

    def publish(self, progress: Progress | None = None) -> list[Change]:
        publishing = self.publishing()
        return publishing.apply(publishing.plan(self.folder), progress or Progress(print))

    def command(self, *words: str) -> "subprocess.Popen[str]":
        settings = {**local_settings(_APP), "SIGNALBOX_STATE_CONTAINER": self._container}
        return subprocess.Popen(
            [Path(sys.executable).with_name("signalbox"), "publish", self.folder, *words],
            env={**os.environ, **self.azure.environment, **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *words: str) -> tuple[int, str, str]:
        """The command in this process: exit code, standard output, standard error."""
        settings = {**local_settings(_APP), "SIGNALBOX_STATE_CONTAINER": self._container}
        told = CliRunner().invoke(main, ["publish", str(self.folder), *words], env=settings)
        return told.exit_code, told.stdout, told.stderr

    def registered(self) -> set[str]:
        """The versions of components that the workspace has of this folder, as `name:version`."""
        names = [*self.pipelines, *(f"{name}_{step}" for name in self.pipelines for step in _STEPS)]
        return {
            f"{component.name}:{component.version}"
            for name in names
            for component in _versions(self.ml, name)
        }

    def require_whole(self) -> None:
        """Everything is there, each once, and events meet it."""
        assert len(self.registered()) == 8
        blobs = AzureBlobState(self._account, self._container, DefaultAzureCredential())
        snapshot = Index(blobs).read().snapshot
        assert [*sorted(snapshot.pipelines)] == self.pipelines
        assert [*snapshot.triggers] == ["came"]
        kept = {blob for blob in self.state.list_blob_names() if blob.startswith("published/")}
        assert kept == {
            f"published/{name}/{each['version']}.json" for name, each in snapshot.pipelines.items()
        }

    def puts(self) -> list[str]:
        """The components that somebody asked to register since the log was cleared."""
        return [
            f"{found[1]}:{found[2]}"
            for each in requests(self.azure)
            if each["method"] == "PUT"
            and (found := re.search(r"/components/(\w+)/versions/(\w+)", each["path"]))
        ]


def _versions(ml: MLClient, name: str) -> list[Any]:
    try:
        return list(ml.components.list(name))
    except ResourceNotFoundError:
        return []


@pytest.fixture
def desk(local_azure: LocalAzure, ml: MLClient, tmp_path: Path) -> Desk:
    return Desk(local_azure, ml, tmp_path)


@pytest.fixture
def control(local_azure: LocalAzure) -> Iterator[Control]:
    found = Control(local_azure.control_url)
    clear_requests(local_azure)
    yield found
    found.disarm()


def test_two_threads_publish_the_same_at_once_and_again_registers_nothing(desk: Desk) -> None:
    both = Barrier(2)

    def publish() -> dict[str, Did]:
        publishing = desk.publishing()
        plan = publishing.plan(desk.folder)
        both.wait(30)
        return {each.name: each.did for each in publishing.apply(plan, Progress(print))}

    with ThreadPoolExecutor() as pool:
        told = [pool.submit(publish) for _ in range(2)]
        one, other = (each.result() for each in told)

    # Who came second found it there when the index was swapped.
    assert {*one.values()} | {*other.values()} == {Did.CREATED, Did.UNCHANGED}
    assert one.keys() == other.keys() == {*desk.pipelines, "came"}
    desk.require_whole()

    clear_requests(desk.azure)
    before = desk.state.get_blob_client("index.json").get_blob_properties().etag
    assert {each.did for each in desk.publish()} == {Did.UNCHANGED}
    assert requests(desk.azure) == []
    assert desk.state.get_blob_client("index.json").get_blob_properties().etag == before


def test_two_processes_publish_the_same_at_once(desk: Desk) -> None:
    (desk.folder / "rows.csv").write_text("a,b\n1,2\n")
    file = desk.folder / "pipelines" / f"{desk.pipelines[0]}.yml"
    file.write_text(f"inputs: {{rows: {{type: uri_file, path: ../rows.csv}}}}\n{file.read_text()}")
    both = [desk.command(), desk.command()]
    ends = [process.communicate(timeout=90) for process in both]

    assert [process.returncode for process in both] == [0, 0], ends
    desk.require_whole()
    assert len(list(desk.ml.data.list(f"{desk.pipelines[0]}_rows"))) == 1


@pytest.mark.parametrize(
    ("action", "error", "how"),
    [
        (_REFUSED, JobRejected, How.REFUSED),
        ({"status": 503}, WorkspaceUnavailable, How.UNKNOWN),
        ({"apply_then_drop": True}, WorkspaceUnavailable, How.UNKNOWN),
    ],
)
def test_an_error_in_the_middle_leaves_a_true_account_and_again_goes_on_from_there(
    desk: Desk, control: Control, action: object, error: type[Exception], how: How
) -> None:
    bad = f"{desk.pipelines[1]}_second"
    control.arm(path_contains=f"/components/{bad}/", method="PUT", action=action)
    progress = Progress(print)
    with pytest.raises(error, match=bad):
        desk.publish(progress)

    stands = {each.what: each for each in progress.standing}
    done = {what.split()[1] for what, each in stands.items() if each.how is How.DONE}
    [failed] = [each for what, each in stands.items() if f" {bad}:" in what]
    assert failed.how is how
    assert failed.why
    there = desk.registered()
    # A request whose answer was lost may have had its effect; everything else is known.
    unknown = {failed.what.split()[1]} if "apply_then_drop" in str(action) else set()
    assert there == done | unknown
    assert stands["the index"].how is How.LEFT
    assert "index.json" not in [*desk.state.list_blob_names()]

    control.disarm()
    clear_requests(desk.azure)
    desk.publish()
    assert {*desk.puts()}.isdisjoint(there)
    assert len(desk.puts()) == 8 - len(there)
    desk.require_whole()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_whoever_is_stopped_in_the_middle_has_told_what_was_done(
    desk: Desk, control: Control, number: signal.Signals
) -> None:
    last = desk.pipelines[1]
    control.arm(
        path_contains=f"/components/{last}/versions",
        method="PUT",
        # Whoever waits for its answer is in the middle; SIGKILL comes before there is one.
        action={"hold": True} if number is signal.SIGKILL else {"delay_seconds": 60},
    )
    process = desk.command()
    try:
        eventually(lambda: control.met() == [1] or None, seconds=60, what="the last component")
        process.send_signal(number)
        control.disarm()
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == (-9 if number is signal.SIGKILL else 130), err
    assert out == ""
    told = set(re.findall(r"^  registered component (\S+)$", err, re.MULTILINE))
    # What went on when the signal came may have had its effect before it could be told.
    assert told <= desk.registered()
    assert len(desk.registered() - told) <= (2 if number is signal.SIGKILL else 0)
    if number is not signal.SIGKILL:
        summary = err[err.index("Done, and it stays:") :]
        assert set(re.findall(r"^  component (\S+)$", summary, re.MULTILINE)) == told
        assert summary.index("Not done:") < summary.index("  the index")
        assert "Publish again" in summary
    assert "index.json" not in [*desk.state.list_blob_names()]

    there = desk.registered()
    control.disarm()
    clear_requests(desk.azure)
    desk.publish()
    assert {*desk.puts()}.isdisjoint(there)
    desk.require_whole()


def test_a_label_is_pinned_and_another_version_makes_another(desk: Desk, ml: MLClient) -> None:
    name = unique("env")
    ml.environments.create_or_update(Environment(name=name, version="1", image="python"))
    for pipeline in desk.pipelines:
        file = desk.folder / "pipelines" / f"{pipeline}.yml"
        file.write_text(file.read_text().replace("plain:1", f"{name}@latest"))
    first = {each.name: each.version for each in desk.publish()}
    [step] = _versions(ml, f"{desk.pipelines[0]}_first")
    assert _environment(ml, step).endswith(f"{name}:1")

    clear_requests(desk.azure)
    assert {each.did for each in desk.publish()} == {Did.UNCHANGED}
    # One look for a label, however many steps name it.
    assert [each["method"] for each in requests(desk.azure)] == ["GET"]

    ml.environments.create_or_update(Environment(name=name, version="2", image="python"))
    second = {each.name: each.version for each in desk.publish()}
    assert all(first[pipeline] != second[pipeline] for pipeline in desk.pipelines)
    environments = [_environment(ml, each) for each in _versions(ml, f"{desk.pipelines[0]}_first")]
    assert sorted(each.rpartition("/")[2] for each in environments) == [f"{name}:1", f"{name}:2"]


def _environment(ml: MLClient, component: Any) -> str:
    found = ml.components.get(component.name, component.version)
    return str(found.environment).replace("/versions/", ":").rpartition("/")[2]


def test_a_repository_s_pipeline_plans_applies_and_prunes(desk: Desk) -> None:
    (desk.folder / "computes").mkdir()
    (desk.folder / "computes/serverless.yml").write_text("type: serverless\nsize: big\n")
    first = [*desk.run("--dry-run", "--exit-code")]
    assert first[0] == 5, first
    assert [*desk.state.list_blob_names()] == []
    assert desk.registered() == set()
    desk.publish()

    (desk.folder / "triggers/came.yml").unlink()
    code, out, err = desk.run("--dry-run", "--exit-code")
    assert code == 0, err
    assert re.search(r"^trigger +came +\w+ +not in the folder$", out, re.MULTILINE)
    assert "--prune removes them" in err
    # Warnings are told although nothing is registered.
    assert "warning: computes/serverless.yml:2: size is ignored" in err

    code, out, err = desk.run("--prune", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert {each["name"]: each["action"] for each in told["changes"]} == {
        **dict.fromkeys(desk.pipelines, "unchanged"),
        "came": "remove",
    }
    assert len(told["warnings"]) == 1
    shutil.rmtree(desk.folder / "pipelines")
    (desk.folder / "triggers/other.yml").write_text(
        f"name: other\nspec: {{http: {{}}}}\naction: {{pipeline: {desk.pipelines[0]}@latest}}\n"
    )
    code, out, err = desk.run("--prune")
    assert (code, out) == (1, "")
    assert "--prune-all" in err
