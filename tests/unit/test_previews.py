from datetime import timedelta
from typing import Any

import pytest

from shared.definitions import TriggerDefinition
from shared.errors import EventInvalid, NotFound, RequestInvalid, StorageUnavailable
from shared.events import BLOB_CREATED, MESSAGE, Event
from shared.lakes import Upload
from shared.previews import Previews, arriving
from tests.fakes import MemoryLakes
from tests.unit.batching import batched
from tests.unit.scene import TRIGGER, Scene, event, pipeline, trigger

#: What a CloudEvent needs.
ENVELOPE = {"specversion": "1.0", "id": "1", "source": "me", "type": "test"}
BLOBS = {"blob": {"account": "contosolake", "container": "landing", "path": "{file}"}}


@pytest.fixture
def here() -> Scene:
    scene = Scene()
    scene.publish(trigger(experiment_name="churn-${{ captures.region }}", compute="gpu"))
    return scene


def previews(here: Scene, lakes: MemoryLakes | None = None) -> Previews:
    return Previews(
        index=here.index,
        orders=here.orders,
        ledger=here.ledger,
        lakes=lakes or MemoryLakes(),
        variables=here.variables,
    )


def upload(here: Scene, path: str, **changes: Any) -> Upload:
    given = {"etag": "0x1", "size": 12, "last_modified": here.world.now, **changes}
    return Upload(account="contosolake", container="landing", path=path, **given)


def plain(**changes: Any) -> Event:
    given = {"id": "1", "source": "me", "type": "test", "time": "2026-03-01T12:00:00Z", **changes}
    return Event.model_validate(given)


def arrived(here: Scene, name: str, content: dict[str, Any]) -> Event:
    """An event as it would have come to a trigger that is published."""
    trigger = here.index.read().snapshot.triggers[name].definition
    return arriving(trigger, content, id="made", source="/http/key", now=here.world.now)


def definition(name: str, spec: dict[str, Any], **action: Any) -> TriggerDefinition:
    return TriggerDefinition.model_validate(
        {"name": name, "spec": spec, "action": {"pipeline": "train", **action}}
    )


def test_says_what_would_run_without_running_it(here: Scene) -> None:
    before = dict(here.blobs.stored)
    found = previews(here).against(TRIGGER, event())

    assert (found.decision, found.check, found.problems) == ("would_run", None, [])
    assert found.captures == {"region": "north", "file": "march"}
    assert found.pipeline == "churn-training@v1"
    assert found.inputs == {
        "data": "https://contosolake.blob.core.windows.net/landing/sales/north/march.csv"
    }
    assert (found.experiment_name, found.compute) == ("churn-north", "gpu")
    assert found.tags["signalbox_run"] == found.run
    assert "path sales/{region}/{file}.csv" in found.passed
    assert here.blobs.stored == before
    assert here.workspace.jobs == {}


def test_says_what_would_wait_for_which_batch(here: Scene) -> None:
    here.publish(batched(action={"experiment_name": "of-${{ group.date }}"}))
    before = dict(here.blobs.stored)
    found = previews(here).against(TRIGGER, event("sales/03-01/a.csv"))

    assert (found.decision, found.problems) == ("would_wait", [])
    assert found.experiment_name == "of-03-01"
    assert found.inputs
    assert found.inputs["data"].startswith("azureml://datastores/workspaceblobstore/paths/")
    release = previews(here).against(TRIGGER, event("sales/03-01/_SUCCESS"))
    assert (release.decision, release.captures) == ("would_wait", {"date": "03-01"})
    assert here.blobs.stored == before
    here.publish(batched(action={"inputs": {"data": "${{ group.date }}"}}))
    wrong = previews(here).against(TRIGGER, event("sales/03-01/a.csv"))
    assert wrong.decision == "would_be_dead_letter"


def test_the_run_that_it_would_be_is_the_one_it_becomes(here: Scene) -> None:
    would = previews(here).against(TRIGGER, event())
    here.dispatcher.handle(event())
    record = here.record()
    is_now = previews(here).against(TRIGGER, event())

    assert would.run == is_now.run == record.run_id
    assert is_now.decision == "duplicate"
    assert record.body is not None
    assert would.tags == record.body.tags


def test_a_no_is_told_with_its_check_and_leaves_no_history(here: Scene) -> None:
    found = previews(here).against(TRIGGER, event("sales/notes.txt"))

    assert (found.decision, found.run) == ("no_match", None)
    assert found.check == "path sales/{region}/{file}.csv"
    assert found.passed == ["uploaded to contosolake/landing"]
    assert here.decisions() == []


def test_everything_that_does_not_fit_is_told_at_once(here: Scene) -> None:
    here.publish(
        trigger(inputs={"data": "${{ event.data.nothing }}", "more": 1, "rows": "x"}),
        pipelines=[pipeline(inputs={"data": {"type": "uri_file"}, "rows": {"type": "integer"}})],
    )
    found = previews(here).against(TRIGGER, event())

    assert (found.decision, found.inputs) == ("would_be_dead_letter", None)
    assert [problem.place for problem in found.problems] == [
        "inputs.data",
        "inputs.more",
        "inputs.rows",
    ]


def test_a_pipeline_that_is_not_published_is_told(here: Scene) -> None:
    here.publish(trigger(), pipelines=[])
    found = previews(here).against(TRIGGER, event())

    assert found.decision == "would_be_dead_letter"
    assert found.pipeline is None
    [problem] = found.problems
    assert problem.place == "action.pipeline"
    assert "churn-training" in problem.message


@pytest.mark.parametrize(
    ("spec", "data"),
    [
        ({"service_bus": {"queue": "orders"}}, {"x": 1}),
        ({"service_bus": {"topic": "news", "subscription": "s"}}, {"x": 1}),
        ({"http": {}}, {"x": 1}),
        (
            {"run": {"pipeline": "first", "status": "failed"}},
            {"pipeline": "first", "status": "failed"},
        ),
        ({"event": {"type": "test"}}, None),
    ],
)
def test_an_event_counts_as_come_the_way_its_trigger_waits_for(
    here: Scene, spec: dict[str, Any], data: Any
) -> None:
    here.publish(definition("any", spec), pipelines=[pipeline("train", inputs={})])

    come = arrived(here, "any", {**ENVELOPE, "data": data})
    assert previews(here).against("any", come).decision == "would_run"
    other = plain(data=data, via="queue/elsewhere")
    expected = "would_run" if "event" in spec else "no_match"
    assert previews(here).against("any", other).decision == expected


@pytest.mark.parametrize(
    ("spec", "data", "type", "via"),
    [
        ({"service_bus": {"queue": "orders"}}, 1, MESSAGE, "queue/orders"),
        ({"http": {}}, [], "signalbox.http", "http/any"),
        ({"run": {}}, {"status": "failed"}, "signalbox.run.failed", "run/"),
        ({"run": {}}, {"pipeline": "first"}, "signalbox.run.None", "run/first"),
        ({"event": {"type": "test"}}, 1, "test", ""),
    ],
)
def test_data_alone_is_an_event_where_no_envelope_comes(
    here: Scene, spec: dict[str, Any], data: Any, type: str, via: str
) -> None:
    here.publish(definition("any", spec), pipelines=[pipeline("train", inputs={})])
    event = arrived(here, "any", {"data": data})

    assert (event.id, event.source, event.time) == ("made", "/http/key", here.world.now)
    assert (event.type, event.via) == (type, via)
    if "run" not in spec:
        assert event.data == data


@pytest.mark.parametrize(
    "spec",
    [
        {"service_bus": {"queue": "orders"}, "filter": {"exact": {"subject": "count"}}},
        {"http": {}, "filter": {"exact": {"source": "till"}}},
        {"event": {"type": "sold", "source": "till", "subject": "cou{rest}"}},
        {"run": {}, "filter": {"exact": {"id": "7"}}},
    ],
)
def test_data_may_have_what_its_trigger_asks_for_beside_it(
    here: Scene, spec: dict[str, Any]
) -> None:
    here.publish(definition("any", spec), pipelines=[pipeline("train", inputs={})])
    said = {"subject": "count", "type": "sold", "source": "till", "id": "7"}
    come = arrived(here, "any", {**said, "data": {"status": "completed"}})

    assert said == {name: getattr(come, name) for name in said}
    assert previews(here).against("any", come).decision == "would_run"
    with pytest.raises(EventInvalid, match="unusable attributes: subject"):
        arrived(here, "any", {"subject": 7, "data": {}})


def test_data_for_a_trigger_of_one_sender_is_from_there(here: Scene) -> None:
    here.publish(definition("any", {"event": {"type": "sold", "source": "till"}}))

    assert arrived(here, "any", {"data": 1}).source == "till"


@pytest.mark.parametrize(
    ("spec", "content"),
    [
        (BLOBS, {"data": 1}),
        (BLOBS, {}),
        ({"event": {"type": "test"}}, {"subject": "a"}),
        ({"event": {"type": "test"}}, {"data": 1, "more": 2}),
        ({"service_bus": {"queue": "orders"}}, {"data": 1, "via": "queue/other"}),
    ],
)
def test_what_is_no_event_and_not_like_one_is_refused(
    here: Scene, spec: dict[str, Any], content: dict[str, Any]
) -> None:
    here.publish(definition("any", spec), pipelines=[pipeline("train", inputs={})])
    with pytest.raises(RequestInvalid) as refused:
        arrived(here, "any", content)
    assert list(refused.value.problems) == ["event"]


def test_a_write_that_is_not_finished_is_no_event_yet(here: Scene) -> None:
    begun = {
        **ENVELOPE,
        "type": BLOB_CREATED,
        "subject": event().subject,
        "data": {**event().data, "api": "CreateFile"},
    }
    with pytest.raises(RequestInvalid) as refused:
        arrived(here, TRIGGER, begun)
    assert list(refused.value.problems) == ["event"]


def test_a_chain_that_is_too_long_is_told(here: Scene) -> None:
    here.publish(definition("next", {"run": {}}), pipelines=[pipeline("train", inputs={})])
    data = {"pipeline": "first", "status": "completed", "depth": 5}
    found = previews(here).against("next", arrived(here, "next", {"data": data}))

    assert found.decision == "would_be_dead_letter"
    assert found.problems[0].place == "policies.max_depth"
    shorter = arrived(here, "next", {"data": {**data, "depth": 4}})
    assert previews(here).against("next", shorter).problems == []


@pytest.mark.parametrize(
    "data", [None, [], "text", {"depth": True}, {"depth": -1}, {"depth": 101}, {"depth": "1"}]
)
def test_the_end_of_a_run_says_of_what(here: Scene, data: Any) -> None:
    here.publish(definition("next", {"run": {}}), pipelines=[pipeline("train", inputs={})])
    with pytest.raises(RequestInvalid) as refused:
        arrived(here, "next", {"data": data})
    assert list(refused.value.problems) == ["event.data"]


@pytest.mark.parametrize("name", ["nobody", "", "x" * 100_000, "a\nb"])
def test_a_trigger_that_is_not_there(here: Scene, name: str) -> None:
    with pytest.raises(NotFound, match=f"There are: {TRIGGER}") as refused:
        previews(here).against(name, event())
    assert len(str(refused.value)) < 500
    with pytest.raises(NotFound):
        previews(here).against_blobs(name)


def test_blobs_that_lie_there_are_tried(here: Scene) -> None:
    lakes = MemoryLakes()
    old = here.world.now - timedelta(days=1)
    lakes.uploads = [
        upload(here, "sales/a/1.csv"),
        upload(here, "sales/a/2.txt"),
        upload(here, "sales/a/3.csv", last_modified=old),
        upload(here, "sales/a/4.csv", etag="0x4"),
        upload(here, "sales/x'; rm/5.csv"),
        upload(here, "scores/5.csv"),
    ]
    here.dispatcher.handle(event("sales/a/4.csv", etag="0x4"))
    before = dict(here.blobs.stored)
    found = previews(here, lakes).against_blobs(TRIGGER)

    assert lakes.looks == ["contosolake/landing/sales/"]
    assert [told.decision for told in found] == [
        "would_run",
        "no_match",
        "no_match",
        "duplicate",
        "would_be_dead_letter",
    ]
    assert str(found[2].check).startswith("not before")
    assert found[3].run == here.record().run_id
    assert here.blobs.stored == before


def test_a_blob_that_no_event_could_name_is_told(here: Scene) -> None:
    lakes = MemoryLakes()
    lakes.uploads = [upload(here, "sales/../secret/1.csv")]
    [found] = previews(here, lakes).against_blobs(TRIGGER)

    assert found.decision == "would_be_dead_letter"
    assert found.problems[0].place == "event"


def test_blobs_are_listed_under_a_prefix_up_to_a_limit(here: Scene) -> None:
    lakes = MemoryLakes()
    lakes.uploads = [upload(here, f"sales/{region}/1.csv") for region in "abc"]

    assert len(previews(here, lakes).against_blobs(TRIGGER, limit=2)) == 2
    [only] = previews(here, lakes).against_blobs(TRIGGER, prefix="sales/b")
    assert only.captures["region"] == "b"


@pytest.mark.parametrize("limit", [0, 201])
def test_only_so_many_blobs_are_tried(here: Scene, limit: int) -> None:
    with pytest.raises(RequestInvalid):
        previews(here).against_blobs(TRIGGER, limit=limit)


def test_only_triggers_for_blobs_have_blobs(here: Scene) -> None:
    here.publish(definition("any", {"http": {}}), pipelines=[pipeline("train", inputs={})])
    with pytest.raises(RequestInvalid) as refused:
        previews(here).against_blobs("any")
    assert "its source is http" in refused.value.problems["blobs"]


def test_a_container_that_may_not_be_read_is_told(here: Scene) -> None:
    lakes = MemoryLakes()
    lakes.trouble = StorageUnavailable("Give this identity the role Storage Blob Data Reader.")
    with pytest.raises(StorageUnavailable, match="Storage Blob Data Reader"):
        previews(here, lakes).against_blobs(TRIGGER)
