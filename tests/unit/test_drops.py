"""Definitions put into the definitions container by hand."""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shared import definitions, documents
from shared.blob_state import Listed
from shared.changes import Prune
from shared.drops import BUDGET, MAX_BYTES, MAX_FILES, MAX_TRIES, OWNER, Drops
from shared.errors import JobRejected, StorageUnavailable, WorkspaceUnavailable
from shared.index import Index, Snapshot
from shared.published import Published, latest
from shared.publishing import Publishing
from tests.fakes import MemoryBlobs
from tests.unit.desk import Desk, MemoryRegistry
from tests.unit.scene import fail

PULSE = """
type: pipeline
jobs:
  beat: {type: command, command: echo alive, environment: 'azureml:plain:1'}
"""
CALLED = "name: called\nspec: {http: {}}\naction: {pipeline: pulse}\n"


class Bench:
    """An app whose definitions container a test writes into."""

    def __init__(self) -> None:
        self.blobs, self.container = MemoryBlobs(), MemoryBlobs()
        self.registry = MemoryRegistry()
        self.seconds = 0.0
        self.index = Index(self.blobs)
        self.publishing = Publishing(Published(self.blobs), self.index, self.registry, listens=())

    @property
    def drops(self) -> Drops:
        """As a process has it that was just started."""
        return Drops(
            self.blobs,
            self.container,
            self.publishing,
            self.index,
            monotonic=lambda: self.seconds,
        )

    def drop(self, name: str, text: str | bytes) -> None:
        self.container.put(name, text.encode() if isinstance(text, str) else text)

    def look(self) -> None:
        for blobs in (self.blobs, self.container):
            blobs.world.calls.clear()
        self.registry.lately.clear()
        self.drops.look()

    @property
    def snapshot(self) -> Snapshot:
        return self.index.peek()

    def wrong(self, kind: str, name: str) -> str:
        return "\n".join(self.drops.problems(kind, name))


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def standing(bench: Bench) -> Bench:
    """A pipeline and its trigger were dropped and published."""
    bench.drop("pipelines/pulse.yml", PULSE)
    bench.drop("triggers/called.yml", CALLED)
    bench.look()
    return bench


def test_a_file_is_published_and_then_met_by_events(standing: Bench) -> None:
    found = latest(standing.snapshot, "pulse")

    assert found
    assert f"published/pulse/{found.version}.json" in standing.blobs.stored
    assert standing.registry.lately == ["pulse_beat", "pulse"]
    assert standing.snapshot.triggers.keys() == {"called"}
    assert set(standing.snapshot.owners.values()) == {OWNER}
    assert standing.wrong("pipeline", "pulse") == standing.wrong("trigger", "called") == ""


def test_what_has_not_changed_is_not_even_read(standing: Bench) -> None:
    standing.look()

    assert standing.container.world.calls == ["list "]
    assert len(standing.blobs.world.calls) == 2
    assert not {"swap", "put", "create"} & {c.split()[0] for c in standing.blobs.world.calls}
    assert standing.registry.lately == []


def test_a_changed_file_is_another_version(standing: Bench) -> None:
    before = latest(standing.snapshot, "pulse")
    standing.drop("pipelines/pulse.yml", PULSE.replace("alive", "well"))
    standing.look()
    after = latest(standing.snapshot, "pulse")

    assert before
    assert after
    assert before.version != after.version
    assert [c for c in standing.container.world.calls if c.startswith("get")] == [
        "get pipelines/pulse.yml"
    ]


def test_a_deleted_file_takes_its_definition_off(standing: Bench) -> None:
    standing.container.delete("triggers/called.yml")
    standing.look()

    assert standing.snapshot.triggers == {}
    assert standing.snapshot.pipelines.keys() == {"pulse"}
    standing.container.delete("pipelines/pulse.yml")
    standing.look()
    assert standing.snapshot.pipelines == {}
    assert standing.snapshot.owners == {}


def test_a_pipeline_that_a_trigger_names_stays_until_it_does_not(standing: Bench) -> None:
    standing.container.delete("pipelines/pulse.yml")
    standing.look()
    assert standing.snapshot.pipelines.keys() == {"pulse"}
    standing.look()

    standing.container.delete("triggers/called.yml")
    standing.look()
    assert (standing.snapshot.pipelines, standing.snapshot.triggers) == ({}, {})


def test_a_container_that_cannot_be_listed_takes_nothing_off(standing: Bench) -> None:
    fail(standing.container.world, "list", StorageUnavailable("ContainerNotFound"))
    standing.look()

    assert standing.snapshot.triggers.keys() == {"called"}


def test_no_container_costs_nothing(bench: Bench) -> None:
    drops = Drops(bench.blobs, None, bench.publishing, bench.index, monotonic=lambda: 0.0)
    drops.look()

    assert drops.problems("pipeline", "pulse") == []
    assert bench.blobs.world.calls == []


def test_what_is_wrong_with_one_keeps_no_other_from_being_published(bench: Bench) -> None:
    bench.drop("pipelines/a.yml", "type: pipeline\njobs:\n  b: {type: command, comand: x}\n")
    bench.drop("pipelines/pulse.yml", PULSE)
    bench.drop("triggers/a.yml", CALLED.replace("called", "a").replace("pulse", "a"))
    bench.drop("triggers/called.yml", CALLED)
    bench.look()

    assert bench.snapshot.pipelines.keys() == {"pulse"}
    assert bench.snapshot.triggers.keys() == {"called"}
    assert bench.wrong("pipeline", "a").startswith("pipelines/a.yml:3: ")
    assert bench.wrong("trigger", "a").startswith("triggers/a.yml:3: no pipeline is named 'a'")


def test_a_broken_edit_leaves_what_was_published(standing: Bench) -> None:
    before = latest(standing.snapshot, "pulse")
    standing.drop("pipelines/pulse.yml", "jobs: [")
    standing.look()

    assert latest(standing.snapshot, "pulse") == before
    assert "is not YAML" in standing.wrong("pipeline", "pulse")
    standing.drop("pipelines/pulse.yml", PULSE)
    standing.look()
    assert standing.wrong("pipeline", "pulse") == ""


def test_what_is_wrong_is_looked_at_again_when_somebody_else_published(
    bench: Bench, tmp_path: Path
) -> None:
    trigger = CALLED.replace("pulse", "heartbeat")
    bench.drop("triggers/called.yml", trigger)
    bench.look()
    assert "no pipeline is named 'heartbeat'" in bench.wrong("trigger", "called")
    bench.look()
    assert not [c for c in bench.container.world.calls if c.startswith("get")]

    desk = Desk(tmp_path / "folder")
    desk.blobs, desk.registry = bench.blobs, bench.registry
    desk.publish()
    bench.look()
    assert "called" in bench.snapshot.triggers
    assert bench.wrong("trigger", "called") == ""


def test_what_somebody_publishes_during_a_look_counts_in_the_next(bench: Bench) -> None:
    bench.drop("triggers/called.yml", CALLED)
    bench.drop("triggers/late.yml", CALLED.replace("called", "late"))
    folder = Publishing(Published(bench.blobs), bench.index, bench.registry, listens=())

    def meanwhile(call: str) -> None:
        if call == "get triggers/late.yml":
            bench.container.world.before = lambda _: None
            document = documents.parse(
                PULSE.encode(),
                file="pulse.yml",
                path=Path("pulse.yml"),
                root=Path(),
                rewritten=True,
            )
            folder.publish(definitions.of(pipelines=[document]), lambda _: None)

    bench.container.world.before = meanwhile
    bench.look()
    assert bench.snapshot.pipelines.keys() == {"pulse"}
    bench.look()
    assert bench.snapshot.triggers.keys() == {"called", "late"}
    assert bench.wrong("trigger", "called") == ""


def test_what_waits_for_the_next_look_is_not_forgotten(bench: Bench) -> None:
    for name in ("first", "second"):
        bench.drop(f"triggers/{name}.yml", CALLED.replace("called", name))
    bench.look()
    assert bench.wrong("trigger", "second")
    bench.drop("pipelines/pulse.yml", PULSE)
    slow = bench.registry.register

    def register(document: dict[str, Any]) -> None:
        slow(document)
        bench.seconds += BUDGET

    bench.registry.register = register  # type: ignore[method-assign]
    for _ in range(2):
        bench.look()
    assert bench.snapshot.triggers.keys() == {"first", "second"}


def test_a_definition_that_somebody_took_off_is_published_from_its_file_again(
    standing: Bench,
) -> None:
    standing.index.change(lambda found, _: found.model_copy(update={"triggers": {}}))
    standing.look()

    assert standing.snapshot.triggers.keys() == {"called"}


def test_what_a_folder_published_is_not_touched(bench: Bench, tmp_path: Path) -> None:
    desk = Desk(tmp_path / "folder")
    desk.blobs, desk.registry = bench.blobs, bench.registry
    desk.publish()
    before = bench.snapshot
    bench.drop("pipelines/heartbeat.yml", PULSE)
    bench.look()

    assert bench.snapshot == before
    assert "was published by `signalbox publish`" in bench.wrong("pipeline", "heartbeat")
    # And a folder takes off nothing that was dropped.
    bench.drop("pipelines/pulse.yml", PULSE)
    bench.look()
    (desk.folder / "pipelines/heartbeat.yml").unlink()
    desk.changes(Prune.YES)
    assert bench.snapshot.pipelines.keys() == {"churn-training", "pulse"}


@pytest.mark.parametrize(
    ("error", "again"),
    [(WorkspaceUnavailable("AzureML answered 503"), True), (JobRejected("UserError", "no"), False)],
)
def test_what_azureml_says_is_kept_and_only_an_outage_is_tried_again(
    bench: Bench, error: Exception, again: bool
) -> None:
    bench.registry.refused["pulse_beat"] = error
    bench.drop("pipelines/pulse.yml", PULSE)
    bench.look()
    assert bench.snapshot.pipelines == {}
    assert str(error)[:10] in bench.wrong("pipeline", "pulse")

    bench.registry.refused.clear()
    bench.look()
    assert ("pulse" in bench.snapshot.pipelines) is again


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize("folder", ["pipelines", "triggers"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"\xff\xfe\x00\xd8", "is not YAML"),
        (b"name: \xff", "is not YAML"),
        (b"\x00", "is not YAML"),
        (b"", "is empty"),
        (b"- a\n- b", "is not a YAML mapping"),
        (b"a: 1\n---\nb: 2", "is not YAML"),
        (b"x" * (MAX_BYTES + 1), "is larger than"),
        (bomb(9), "holds more than"),
        ("[" * 20_000, "nested too deeply"),
        ("a: &a {b: *a}", ""),
        ("a: !!python/object/apply:os.system ['touch /tmp/x']", ""),
        ("type: nonsense\njobs: {}", ""),
        ("type: pipeline\njobs: {a: {type: nonsense}}", ""),
        ("type: pipeline\njobs: 3", ""),
        ("type: pipeline\njobs: {a: null}", ""),
        ("{1: 2}", "is not text"),
        ("a: 1\na: 2", "twice"),
        ("type: pipeline\njobs: {a: {type: pipeline, jobs: {b: {type: pipeline}}}}", ""),
    ],
)
def test_hostile_content_is_an_error_and_nothing_else(
    bench: Bench, folder: str, text: str | bytes, said: str
) -> None:
    bench.drop(f"{folder}/bad.yml", text)
    bench.drop("pipelines/pulse.yml", PULSE)
    bench.look()
    problems = bench.drops.problems(folder.removesuffix("s"), "bad")

    assert problems
    assert said in "\n".join(problems)
    assert all(each.startswith(f"{folder}/bad.yml") and len(each) <= 500 for each in problems)
    assert bench.snapshot.pipelines.keys() == {"pulse"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pipelines/Bad Name.yml", "its file name is its name"),
        ("pipelines/pulse.yaml", "defines the same as pipelines/pulse.yml"),
        ("triggers/other.yml", "name is 'called'"),
    ],
)
def test_a_name_that_cannot_be_is_told(standing: Bench, name: str, said: str) -> None:
    text = CALLED if name.startswith("triggers") else PULSE
    standing.drop(name, text)
    standing.look()
    kept = standing.blobs.stored["drops.json"].data.decode()

    assert said in kept
    assert standing.snapshot.pipelines.keys() == {"pulse"}


@pytest.mark.parametrize("name", ["pulse.yml", "computes/cpu.yml", "pipelines/deep/pulse.yml"])
def test_a_file_elsewhere_says_where_it_belongs(bench: Bench, name: str) -> None:
    bench.drop(name, PULSE)
    bench.look()

    assert "belongs into pipelines/ or triggers/" in bench.blobs.stored["drops.json"].data.decode()
    assert bench.snapshot.pipelines == {}


def test_what_is_no_yaml_file_is_let_be(bench: Bench) -> None:
    bench.drop("pipelines/readme.md", "hello")
    bench.look()

    assert "drops.json" not in bench.blobs.stored


#: Paths that somebody opened while a test watches; a hook of the interpreter stays for ever.
_opened: list[str] | None = None


def _watch(event: str, arguments: Any) -> None:
    if _opened is not None and event in ("open", "os.listdir", "os.scandir", "socket.connect"):
        _opened.append(f"{event} {arguments[0]}" if event != "socket.connect" else event)


sys.addaudithook(_watch)


@pytest.mark.parametrize(
    "hostile",
    [
        "code: {file}",
        "code: {folder}",
        "environment: {{image: x, conda_file: {file}}}",
        "environment: {{image: x, conda_file: 'azureml:/../../../../../../../..{file}'}}",
        "environment: {{build: {{path: {folder}}}}}",
        "component: {file}",
        "component: 'file:{file}'",
        "inputs: {{x: {{type: uri_file, path: {file}}}}}",
        "inputs: {{x: {{type: uri_file, path: 'file://{file}'}}}}",
        "additional_includes: [{file}]",
        "command: cat {file}",
        "environment: https://example.com/env.yml",
        "component: https://example.com/component.yml",
        "component: 'azureml:{file}'",
        "code: 'azureml:{file}'",
    ],
)
def test_neither_disk_nor_network_is_read(bench: Bench, tmp_path: Path, hostile: str) -> None:
    global _opened
    secret = tmp_path / "secret.yml"
    secret.write_text(PULSE)
    bench.drop("pipelines/pulse.yml", PULSE)
    bench.look()  # The SDK is loaded now.
    line = hostile.format(file=secret, folder=tmp_path)
    # Their keys go before those that are there.
    base = {"type": "command", "command": "echo", "environment": "azureml:plain:1"}
    kept = "".join(f"    {k}: '{v}'\n" for k, v in base.items() if not line.startswith(k))
    bench.drop("pipelines/bad.yml", f"type: pipeline\njobs:\n  a:\n{kept}    {line}\n")
    _opened = []
    try:
        bench.look()
    finally:
        seen, _opened = _opened, None

    assert [each for each in seen if str(tmp_path) in each or "socket" in each] == []
    # Nothing but what Python and the SDK are made of, and the SDK's own temporary files.
    ours = (sys.prefix, sys.base_prefix, f"{tempfile.gettempdir()}/tmp", "/proc", "/dev")
    # A number is a folder that is open already.
    paths = [path for each in seen if not (path := each.split(" ", 1)[1]).isdigit()]
    assert [path for path in paths if not path.startswith(ours)] == []
    if not line.startswith("command") and f"azureml:{tmp_path}" not in line:
        assert bench.wrong("pipeline", "bad")


def test_a_file_that_ends_the_process_is_left_alone_after_some_tries(bench: Bench) -> None:
    class Dies(MemoryBlobs):
        def get(self, name: str) -> Any:
            if name == "pipelines/bad.yml":
                raise SystemExit("out of memory")
            return super().get(name)

    bench.container = Dies()
    bench.drop("pipelines/bad.yml", PULSE)
    bench.drop("pipelines/pulse.yml", PULSE)
    for _ in range(MAX_TRIES):
        with pytest.raises(SystemExit):
            bench.look()
    bench.look()

    assert f"ended the app {MAX_TRIES} times" in bench.wrong("pipeline", "bad")
    assert bench.snapshot.pipelines.keys() == {"pulse"}


def test_a_look_takes_no_longer_than_its_budget_and_the_next_goes_on(bench: Bench) -> None:
    for name in ("a", "b", "c"):
        bench.drop(f"pipelines/{name}.yml", PULSE)

    class Slow(MemoryRegistry):
        def register(self, document: dict[str, Any]) -> None:
            super().register(document)
            bench.seconds += BUDGET

    bench.publishing = Publishing(Published(bench.blobs), bench.index, Slow(), listens=())
    for done in (["a"], ["a", "b"], ["a", "b", "c"]):
        bench.look()
        assert sorted(bench.snapshot.pipelines) == done
    bench.look()
    assert bench.registry.lately == []


def test_two_looks_at_once_publish_once(bench: Bench) -> None:
    bench.drop("pipelines/pulse.yml", PULSE)
    fresh = bench.drops
    seen: list[str] = []

    def other(call: str) -> None:
        if call == "create drops.json" and not seen:
            seen.append(call)
            fresh.look()

    bench.blobs.world.before = other
    bench.look()

    assert bench.snapshot.pipelines.keys() == {"pulse"}
    assert bench.registry.lately == ["pulse_beat", "pulse"]


def test_files_too_many_take_no_other_off(bench: Bench) -> None:
    class Filled(MemoryBlobs):
        more = 0

        def list(self, prefix: str, *, page: int | None = None) -> Any:
            found = [*super().list(prefix, page=page)]
            yield from (
                replace(found[0], name=f"pipelines/a{number:04}.yml", size=MAX_BYTES + 1)
                for number in range(self.more)
            )
            yield from found

    container = bench.container = Filled()
    bench.drop("pipelines/pulse.yml", PULSE)
    bench.look()
    container.more = MAX_FILES
    bench.look()

    assert bench.wrong("pipeline", "a0000")
    assert bench.snapshot.pipelines.keys() == {"pulse"}


def test_only_so_many_files_count(bench: Bench) -> None:
    class Many(MemoryBlobs):
        def list(self, prefix: str, *, page: int | None = None) -> Any:
            [one] = super().list(prefix, page=page)
            name = "triggers/t{:04}.yml"
            for number in range(MAX_FILES + 50):
                yield Listed(
                    name=name.format(number),
                    etag=one.etag,
                    last_modified=one.last_modified,
                    size=MAX_BYTES + 1,
                )

    bench.container = Many()
    bench.drop("x", "")
    bench.look()

    assert bench.wrong("trigger", f"t{MAX_FILES - 1:04}")
    assert not bench.wrong("trigger", f"t{MAX_FILES:04}")
