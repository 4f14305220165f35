"""What publishing changes in an index: that whoever publishes gets what is wanted, and no more."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from shared.changes import PIPELINE, TRIGGER, Did, Prune, Wanted, applied, changes, taken_over
from shared.definitions import Definitions, TriggerFile
from shared.documents import Document
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
    nowhere: Document = None  # type: ignore[assignment]
    files = [
        TriggerFile(
            trigger=trigger(name).model_copy(
                update={"action": trigger(name).action.model_copy(update={"pipeline": named})}
            ),
            document=nowhere,
        )
        for name, named in triggers.items()
    ]
    return Wanted(
        [pipeline(*each) for each in pipelines.items()],
        Definitions(pipelines=(), triggers=tuple(files)),
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
        Definitions((), ()),
        owner="x",
        prune=Prune.EVERYTHING,
        spared=frozenset({(PIPELINE, "a")}),
    )

    assert [(c.name, c.did) for c in changes(snapshot, later)] == [("b", Did.REMOVED)]
