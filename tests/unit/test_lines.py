"""Those who wait for a place, by number."""

from shared.ledger import LEASE
from shared.lines import Line
from shared.slots import ALL
from tests.unit.scene import TRIGGER, Scene, event, trigger


def scene(*names: str) -> tuple[Scene, list[str]]:
    """Runs of uploads, the first under way, and their keys."""
    here = Scene()
    here.publish(trigger(policies={"concurrency": {"limit": 1}, "max_runs_per_day": "unlimited"}))
    keys = []
    for name in names:
        [decision] = here.dispatcher.handle(event(f"sales/north/{name}.csv"))
        assert decision.record is not None
        keys.append(decision.record.key)
    here.calls()
    return here, keys


def line(here: Scene) -> Line:
    return Line(here.slots, here.ledger, TRIGGER, ALL)


def test_the_first_are_found_without_reading_the_others() -> None:
    here, keys = scene(*"abcde")
    assert [kept.record.key for kept in line(here).first(2, ())] == keys[1:3]
    assert here.calls() == ["list queue", "get ledger", "get ledger"]


def test_asked_again_it_goes_on_with_what_it_has_listed() -> None:
    here, keys = scene(*"abcde")
    found = line(here)
    found.first(1, ())
    here.calls()

    assert [kept.record.key for kept in found.first(1, {keys[1]})] == [keys[2]]
    assert here.calls() == ["get ledger"]


def test_that_nobody_waits_is_told_by_a_listing_of_now() -> None:
    here, keys = scene(*"abc")
    found = line(here)
    found.first(2, ())
    [decision] = here.dispatcher.handle(event("sales/north/late.csv"))
    assert decision.record is not None

    [late] = found.first(1, set(keys))
    assert late.record.key == decision.record.key


def test_who_does_not_wait_any_more_is_passed_over_and_its_entry_deleted_in_the_end() -> None:
    here, keys = scene(*"abc")
    kept = here.ledger.read(TRIGGER, keys[1])
    assert kept is not None
    assert here.ledger.swap(kept, kept.record.begun(kept.at))
    here.calls()

    # Whoever has begun it is about to delete its entry.
    assert [kept.record.key for kept in line(here).first(5, ())] == [keys[2]]
    assert "delete queue" not in here.calls()

    here.world.pass_time(LEASE.total_seconds() + 1)
    assert [kept.record.key for kept in line(here).first(5, ())] == [keys[2]]
    assert here.calls().count("delete queue") == 1
