"""What publishing changes in an index: that whoever publishes gets what is wanted, and no more."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.changes import PIPELINE, TRIGGER, Did, Prune, Wanted, applied, changes, taken_over
from shared.definitions import TriggerDefinition
from shared.errors import PruneRefused
from shared.index import Snapshot
from shared.published import PublishedPipeline
from tests.unit.scene import trigger

NOW = datetime(2026, 3, 1, tzinfo=UTC)
NAMES = ("a", "b", "c")


def pipeline(name: str, version: str = "1") -> PublishedPipeline:
    return PublishedPipeline(
        name=name,
        version=version,
        component_id=f"/{name}/{version}",
        inputs={},
        outputs={},
        settings={},
        tags={},
    )


def wanted(pipelines: dict[str, str], triggers: dict[str, str], owner: str, prune: Prune) -> Wanted:
    """Pipelines with their versions, and triggers with the pipelines that they name."""
    naming = [
        trigger(name).model_copy(
            update={"action": trigger(name).action.model_copy(update={"pipeline": named})}
        )
        for name, named in triggers.items()
    ]
    return Wanted(
        [pipeline(*each) for each in pipelines.items()],
        naming,
        owner=owner,
        prune=prune,
    )


WANTED = st.builds(
    wanted,
    st.dictionaries(st.sampled_from(NAMES), st.sampled_from("12")),
    st.dictionaries(st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.sampled_from(["", "x"]),
    st.sampled_from(Prune),
)


@given(st.lists(WANTED, max_size=6))
def test_whoever_publishes_gets_what_is_wanted_and_takes_nothing_of_others(
    publishes: list[Wanted],
) -> None:
    snapshot = Snapshot()
    for each in publishes:
        try:
            after = applied(snapshot, NOW, each)
        except PruneRefused:
            assert each.prune is not Prune.NO
            continue
        told = {(c.kind, c.name): c for c in changes(snapshot, each)}
        before = {
            *((PIPELINE, n) for n in snapshot.pipelines),
            *((TRIGGER, n) for n in snapshot.triggers),
        }
        now = {*((PIPELINE, n) for n in after.pipelines), *((TRIGGER, n) for n in after.triggers)}
        removed = {key for key, change in told.items() if change.did is Did.REMOVED}
        assert each.keys <= now
        assert before - now == removed
        assert not removed & each.keys
        for key in removed:
            assert snapshot.owners.get("/".join(key), "") == each.owner
        assert {key for key in each.keys if told[key].before is None} == now - before
        assert {k for k, o in after.owners.items() if o} <= {"/".join(key) for key in now}
        # Nothing that stays names what is gone.
        gone = {name for kind, name in removed if kind == PIPELINE}
        assert not gone & {t.definition.action.pipeline for t in after.triggers.values()}
        # Again changes nothing.
        assert applied(after, NOW, each) == after
        assert taken_over(after, each) == []
        snapshot = after


def test_what_cannot_be_read_now_is_neither_missed_nor_removed() -> None:
    first = wanted({"a": "1", "b": "1"}, {}, "x", Prune.NO)
    snapshot = applied(Snapshot(), NOW, first)
    later = Wanted(
        [],
        [],
        owner="x",
        prune=Prune.EVERYTHING,
        spared=frozenset({(PIPELINE, "a")}),
    )

    assert [(c.name, c.did) for c in changes(snapshot, later)] == [("b", Did.REMOVED)]


def edited(
    snapshot: Snapshot, minutes: int, spec: Mapping[str, object], **action: object
) -> Snapshot:
    """The index once the trigger `a` was published with a spec, so many minutes later."""
    content = {"name": "a", "spec": spec, "action": {"pipeline": "p", **action}}
    written = TriggerDefinition.model_validate(content)
    return applied(snapshot, NOW + timedelta(minutes=minutes), Wanted([], [written]))


def test_an_edit_keeps_the_schedule_before_with_its_time() -> None:
    hourly, daily = {"schedule": {"cron": "0 * * * *"}}, {"schedule": {"cron": "0 6 * * *"}}
    first = edited(Snapshot(), 0, hourly)
    assert (first.edition, first.triggers["a"].edition, first.triggers["a"].former) == (1, 1, ())

    # What it starts is no part of when it does.
    same = edited(first, 10, hourly, tags={"x": "1"})
    assert (same.edition, same.triggers["a"].since, same.triggers["a"].former) == (1, NOW, ())

    second = edited(same, 20, daily)
    third = edited(second, 30, hourly)
    found = third.triggers["a"]
    assert (third.edition, found.edition, found.since) == (3, 3, NOW + timedelta(minutes=30))
    assert [
        (one.definition.spec.model_dump(exclude_defaults=True, mode="json"), one.edition)
        for one in found.former
    ] == [
        ({"schedule": {"cron": ["0 * * * *"]}}, 1),
        ({"schedule": {"cron": ["0 6 * * *"]}}, 2),
    ]
    assert [(one.since, one.until) for one in found.former] == [
        (NOW, NOW + timedelta(minutes=20)),
        (NOW + timedelta(minutes=20), NOW + timedelta(minutes=30)),
    ]


def test_an_edit_to_another_source_or_clock_keeps_what_was_due() -> None:
    first = edited(Snapshot(), 0, {"schedule": {"cron": "0 * * * *"}})
    native = edited(first, 10, {"schedule": {"cron": "0 * * * *", "engine": "azureml"}})
    http = edited(native, 20, {"http": {}})

    assert native.triggers["a"].schedule is None
    # While the clock is AzureML's, nothing of it is due here.
    assert [one.until for one in http.triggers["a"].former] == [NOW + timedelta(minutes=10)]


def test_an_interval_is_counted_on_unless_it_is_what_was_edited() -> None:
    first = edited(Snapshot(), 0, {"schedule": {"every": "PT6H"}})
    jittery = edited(first, 10, {"schedule": {"every": "PT6H", "jitter": "PT5M"}})
    shorter = edited(jittery, 20, {"schedule": {"every": "PT5H", "jitter": "PT5M"}})

    assert [one.triggers["a"].anchor for one in (first, jittery, shorter)] == [
        NOW,
        NOW,
        NOW + timedelta(minutes=20),
    ]
