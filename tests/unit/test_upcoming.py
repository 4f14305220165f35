"""What fires next, of all schedules."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.clocks import Clock
from shared.definitions import TriggerDefinition
from shared.index import Former, IndexedTrigger, PastPause, Paused
from shared.recurrences import Recurrence, fires_at
from shared.upcoming import Due, Upcoming, paused_when, without_past

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def definition(name: str, **spec: Any) -> TriggerDefinition:
    return TriggerDefinition.model_validate(
        {"name": name, "spec": {"schedule": spec}, "action": {"pipeline": "p"}}
    )


def indexed(name: str = "a", *, since: datetime = NOON, **changes: Any) -> IndexedTrigger:
    spec = changes.pop("spec", {"cron": "* * * * *"})
    given: dict[str, Any] = {"edition": 1, **changes}
    return IndexedTrigger(
        definition=definition(name, **spec),
        revision="r",
        effective_from=since,
        spec_since=since,
        **given,
    )


def former(*, since: datetime, until: datetime, edition: int = 1, **spec: Any) -> Former:
    return Former(
        definition=definition("a", **spec), anchor=since, since=since, until=until, edition=edition
    )


def clock(at: datetime = NOON, through: str | None = None, edition: int = 1) -> Clock:
    return Clock(last_evaluated=at, through=through, edition=edition)


def told(due: list[Due]) -> list[tuple[str, str]]:
    return [(one.trigger, f"{one.scheduled:%H:%M}") for one in due]


def test_what_fires_is_told_by_its_moment_and_then_by_trigger() -> None:
    triggers = {name: indexed(name) for name in ("b", "a")}
    upcoming = Upcoming(triggers, clock())

    found, complete = upcoming.due(clock(), NOON + 2 * MINUTE, 10)

    assert told(found) == [("a", "12:01"), ("b", "12:01"), ("a", "12:02"), ("b", "12:02")]
    assert complete


def test_it_is_told_again_until_the_clock_has_passed_it() -> None:
    upcoming = Upcoming({"a": indexed(), "b": indexed("b")}, clock())

    first = upcoming.due(clock(), NOON + MINUTE, 10)
    assert upcoming.due(clock(), NOON + MINUTE, 10) == first
    # Half of the same second.
    found, _ = upcoming.due(clock(NOON + MINUTE, "a"), NOON + MINUTE, 10)
    assert told(found) == [("b", "12:01")]
    assert upcoming.due(clock(NOON + MINUTE), NOON + MINUTE, 10) == ([], True)
    # Another worker went on meanwhile.
    found, _ = upcoming.due(clock(NOON + 5 * MINUTE), NOON + 6 * MINUTE, 10)
    assert told(found) == [("a", "12:06"), ("b", "12:06")]
    assert upcoming.knows(clock(NOON + 7 * MINUTE))
    assert not upcoming.knows(clock(NOON + 4 * MINUTE))


def test_a_look_is_cut_off_between_two_places() -> None:
    upcoming = Upcoming({name: indexed(name) for name in "abc"}, clock())

    found, complete = upcoming.due(clock(), NOON + 2 * MINUTE, 4)

    assert told(found) == [("a", "12:01"), ("b", "12:01"), ("c", "12:01"), ("a", "12:02")]
    assert not complete


def test_a_look_costs_what_has_come_since() -> None:
    triggers = {
        f"t{n:04}": indexed(f"t{n:04}", spec={"cron": f"{n % 60} 13 * * *"}) for n in range(300)
    }
    upcoming = Upcoming(triggers, clock())

    # A million would be expanded if all that is past were.
    late = upcoming.due(clock(), NOON + timedelta(days=10_000), 5)
    assert told(late[0]) == [(f"t{n:04}", "13:00") for n in range(0, 300, 60)]


def test_what_was_due_before_an_edit_is_the_old_schedule_s() -> None:
    edit = NOON + timedelta(seconds=150)
    old = former(since=NOON, until=edit, cron="* * * * *")
    one = indexed(since=edit, spec={"cron": "0-59/2 * * * *"}, former=(old,))

    found, _ = Upcoming({"a": one}, clock()).due(clock(), NOON + 6 * MINUTE, 10)

    assert told(found) == [("a", "12:01"), ("a", "12:02"), ("a", "12:04"), ("a", "12:06")]
    assert [due.indexed.definition for due in found[:2]] == [old.definition] * 2


def test_jitter_that_is_edited_loses_and_doubles_nothing() -> None:
    edit = NOON + timedelta(minutes=5, seconds=30)
    jittery: dict[str, Any]
    plain: dict[str, Any]
    jittery, plain = {"cron": "* * * * *", "jitter": "PT30M"}, {"cron": "* * * * *"}
    for before, after in ((jittery, plain), (plain, jittery)):
        old = former(since=NOON, until=edit, **before)
        one = indexed(since=edit, spec=after, former=(old,))
        found, _ = Upcoming({"a": one}, clock()).due(clock(), NOON + timedelta(hours=1), 1000)

        scheduled = sorted(due.scheduled for due in found)
        assert len(scheduled) == len(set(scheduled))
        assert set(scheduled) >= {NOON + n * MINUTE for n in range(1, 30)}
        assert [due.fires for due in found] == sorted(due.fires for due in found)


def test_what_an_edit_brought_while_the_clock_went_on_is_not_lost() -> None:
    # Published at noon by an index that was read then; a tick moved the clock before it was there.
    passed = clock(NOON + 2 * MINUTE, edition=1)
    new = Upcoming({"a": indexed(edition=2), "b": indexed("b")}, passed)

    found, _ = new.due(passed, NOON + 3 * MINUTE, 1)
    assert told(found) == [("a", "12:01"), ("a", "12:02"), ("a", "12:03")]
    assert [due.late for due in found] == [True, True, False]
    # As long as the clock stays it is told again; once it knows that edition, no more.
    assert new.due(passed, NOON + 3 * MINUTE, 1)[0] == found
    found, _ = new.due(clock(NOON + 3 * MINUTE, edition=2), NOON + 4 * MINUTE, 10)
    assert told(found) == [("a", "12:04"), ("b", "12:04")]


@pytest.mark.parametrize("jitter", [None, "PT5M"])
def test_what_was_found_before_somebody_with_an_older_index_passed_it_is_not_lost(
    jitter: str | None,
) -> None:
    spec = {"cron": "* * * * *", "jitter": jitter}
    edited = {"a": indexed(since=NOON, spec=spec, edition=2), "b": indexed("b")}
    upcoming = Upcoming(edited, clock())
    upcoming.due(clock(), NOON + MINUTE, 10)
    # Who moved the clock had read the index before the edit.
    passed = clock(NOON + 7 * MINUTE)

    found, _ = upcoming.due(passed, NOON + 7 * MINUTE, 10)
    anew, _ = Upcoming(edited, passed).due(passed, NOON + 7 * MINUTE, 10)

    assert told(found) == told(anew)
    assert ("a", "12:01") in told(found)
    assert all(due.late for due in found)
    # Known to the clock, it is passed.
    assert upcoming.due(clock(NOON + 7 * MINUTE, edition=2), NOON + 7 * MINUTE, 10)[0] == []


def test_what_never_was_and_what_cannot_be_read_keep_nobody() -> None:
    never = indexed("never", spec={"cron": "* * * * *", "end_time": "2020-01-01T00:00:00Z"})
    broken = indexed("broken")
    spec = broken.definition.spec
    nowhere = spec.model_copy(
        update={
            "schedule": spec.schedule and spec.schedule.model_copy(update={"time_zone": "Atlantis"})
        }
    )
    wrong = broken.definition.model_copy(update={"spec": nowhere})
    triggers = {
        "broken": broken.model_copy(update={"definition": wrong}),
        "fine": indexed("fine"),
        "never": never,
    }

    found, _ = Upcoming(triggers, clock()).due(clock(), NOON + MINUTE, 10)

    assert told(found) == [("fine", "12:01")]


@pytest.mark.parametrize(
    ("while_paused", "said", "skipped"),
    [("drop", None, True), ("hold", None, False), ("hold", "drop", True), ("drop", "hold", False)],
)
def test_what_fired_in_a_pause_that_is_over_was_paused_unless_it_was_to_wait(
    while_paused: str, said: Any, skipped: bool
) -> None:
    paused = Paused(note="n", at=NOON + MINUTE, while_paused=said)
    past = PastPause(paused=paused, until=NOON + 2 * MINUTE)
    one = indexed(pauses=(past,))
    bounded = one.definition.policies.model_copy(update={"while_paused": while_paused})
    one = one.model_copy(
        update={"definition": one.definition.model_copy(update={"policies": bounded})}
    )

    found, _ = Upcoming({"a": one}, clock()).due(clock(), NOON + 3 * MINUTE, 10)

    paused_then = [paused_when(due) for due in found]
    assert paused_then == [None, paused if skipped else None, None]
    again = one.model_copy(update={"paused": paused})
    found, _ = Upcoming({"a": again}, clock()).due(clock(), NOON + 3 * MINUTE, 10)
    assert [paused_when(due) for due in found] == [paused] * 3


def test_what_the_clock_has_passed_is_forgotten_and_no_sooner() -> None:
    past = PastPause(paused=Paused(note="n", at=NOON), until=NOON + MINUTE)
    old = former(since=NOON, until=NOON + MINUTE, cron="* * * * *", jitter="PT10M")
    one = indexed(former=(old,), pauses=(past,))

    assert without_past(one, clock(NOON + MINUTE)) is one
    assert without_past(one, clock(NOON + 2 * MINUTE)) == one.model_copy(update={"pauses": ()})
    later = without_past(one, clock(NOON + 12 * MINUTE))
    assert (later.former, later.pauses) == ((), ())
    assert without_past(later, clock(NOON + 20 * MINUTE)) is later


SPECS: list[dict[str, Any]] = [
    {"cron": "* * * * *"},
    {"cron": "*/7 * * * *", "jitter": "PT9M"},
    {"every": "PT90S"},
    {"every": "PT5M", "jitter": "PT40S"},
    {"cron": "30 12 * * *"},
]


@given(
    specs=st.lists(st.sampled_from(SPECS), min_size=1, max_size=4),
    steps=st.lists(st.integers(1, 1500), min_size=1, max_size=8),
    at_most=st.integers(1, 8),
    forget=st.booleans(),
)
def test_whoever_looks_in_whatever_steps_comes_to_each_time_once(
    specs: list[dict[str, Any]], steps: list[int], at_most: int, forget: bool
) -> None:
    triggers = {f"t{n}": indexed(f"t{n}", spec=spec) for n, spec in enumerate(specs)}
    at, now, upcoming = clock(), NOON, Upcoming(triggers, clock())
    seen: list[tuple[datetime, str, datetime]] = []
    for step in steps:
        now += timedelta(seconds=step)
        while True:
            found, complete = upcoming.due(at, now, at_most)
            seen += [(due.fires, due.trigger, due.scheduled) for due in found]
            if complete:
                at = clock(now)
                break
            fires, trigger = found[-1].place
            at = clock(fires, trigger)
            if forget:
                upcoming = Upcoming(triggers, at)

    assert seen == sorted(_wanted(triggers, now))


@given(
    steps=st.lists(
        st.tuples(
            st.integers(1, 900),
            st.sampled_from(["a", "b", "c"]),
            st.sampled_from([*SPECS, "keep", "pause", "remove"]),
        ),
        min_size=1,
        max_size=10,
    ),
    at_most=st.integers(1, 8),
)
def test_an_index_that_changes_comes_to_what_one_that_is_read_anew_does(
    steps: list[tuple[int, str, Any]], at_most: int
) -> None:
    triggers = {"a": indexed("a"), "b": indexed("b", spec=SPECS[1])}
    at, now, edition = clock(), NOON, 1
    upcoming = Upcoming(triggers, at)
    for step, name, what in steps:
        known = triggers.get(name)
        edition += 1
        if isinstance(what, dict):
            triggers = {**triggers, name: _edited(known, name, what, now, edition)}
        elif what == "pause" and known is not None:
            paused = Paused(note="n", at=now)
            triggers = {**triggers, name: known.model_copy(update={"paused": paused})}
        elif what == "remove":
            triggers = {each: one for each, one in triggers.items() if each != name}
        now += timedelta(seconds=step)

        upcoming.change(triggers, at)
        found, complete = upcoming.due(at, now, at_most)
        anew, all_of_it = Upcoming(triggers, at).due(at, now, at_most)

        assert (found, complete) == (anew, all_of_it)
        assert [due.late for due in found] == [due.late for due in anew]
        assert all(due.indexed.paused == triggers[due.trigger].paused for due in found)
        if complete:
            at = clock(now, edition=edition)
        elif found:
            at = clock(*found[-1].place, edition=edition)


def test_what_did_not_change_is_not_worked_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    triggers = {f"t{n}": indexed(f"t{n}") for n in range(50)}
    upcoming, worked_out, after = Upcoming(triggers, clock()), list[str](), Recurrence.after

    def noticed(self: Recurrence, at: datetime) -> Iterator[datetime]:
        worked_out.append("once")
        return after(self, at)

    monkeypatch.setattr(Recurrence, "after", noticed)
    changed = indexed("t7", spec={"cron": "*/5 * * * *"})
    upcoming.change({**triggers, "t7": changed, "t8": triggers["t8"].model_copy()}, clock())

    found, _ = upcoming.due(clock(), NOON + MINUTE, 100)
    assert (len(found), worked_out) == (49, ["once"])


def _edited(
    known: IndexedTrigger | None, name: str, spec: dict[str, Any], at: datetime, edition: int
) -> IndexedTrigger:
    new = indexed(name, since=at, spec=spec, edition=edition)
    if known is None:
        return new
    old = Former(
        definition=known.definition,
        anchor=known.anchor,
        since=known.since,
        until=at,
        edition=known.edition,
    )
    return new.model_copy(update={"former": (*known.former, old)})


def _wanted(
    triggers: Mapping[str, IndexedTrigger], now: datetime
) -> Iterator[tuple[datetime, str, datetime]]:
    for name, one in triggers.items():
        spec = one.definition.spec.schedule
        assert spec is not None
        for scheduled in Recurrence(spec, one.anchor).after(one.since):
            if scheduled > now:
                break
            if (fires := fires_at(name, spec, scheduled)) <= now:
                yield fires, name, scheduled
