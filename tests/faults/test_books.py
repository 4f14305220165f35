"""The reckoning notices what it is there for: what is lost, what grows, what only takes longer."""

from random import Random

import pytest

from tests.e2e.running_signalbox import Json
from tests.faults.books import Books
from tests.faults.growth import Growth, Use

_SENT = {"unbounded": 2, "again": 0, "together": 0}


def _record(key: str, state: str, **more: object) -> Json:
    found = {"trigger": "unbounded", "key": key, "state": state, "reason": None, "batch": None}
    attempts = [] if state in ("batched", "skipped") else [{"job_name": f"job-{key}"}]
    return {**found, "attempts": attempts, "members": [], "member": None, **more}


def _job(key: str, *, trigger: str = "unbounded", status: str = "Completed") -> Json:
    return {"name": f"job-{key}", "status": status, "tags": {"signalbox_run": f"{trigger}.{key}"}}


def _event(key: str, batch: str | None = "b") -> Json:
    event = {"subject": f"landing/together/{key}.txt", "data": {"eTag": key}}
    more = {"trigger": "together", "event": event, "batch": batch, "member": {"group": "g"}}
    return _record(key, "batched" if batch else "waiting_batch", **more)


def _batch(key: str, *members: str) -> Json:
    return _record(key, "completed", trigger="together", members=[*members])


def _checked(books: Books, *, sent: Json, on_their_way: int = 0, at_rest: bool = True) -> Books:
    books.check(sent, on_their_way=on_their_way, at_rest=at_rest)
    return books


def test_all_that_was_sent_is_completed() -> None:
    books = Books([_record(k, "completed") for k in "xy"], [_job(k) for k in "xy"], {})
    assert not _checked(books, sent=_SENT).wrong
    assert not books.unfinished


def test_what_left_no_record_is_lost_unless_it_is_on_its_way() -> None:
    def books() -> Books:
        return Books([_record("x", "completed")], [_job("x")], {})

    assert "LOST: 1 events" in _checked(books(), sent=_SENT).wrong[0]
    late = _checked(books(), sent=_SENT, on_their_way=1, at_rest=False)
    assert not late.wrong
    assert late.unfinished == ["1 events are on their way"]
    less = _checked(books(), sent={**_SENT, "unbounded": 3}, on_their_way=1, at_rest=False)
    assert "LOST: 2 events left no record, and 1 are on their way" in less.wrong[0]


def test_what_is_under_way_is_only_unfinished() -> None:
    records = [_record("x", "completed"), _record("y", "submitted")]
    late = _checked(Books(records, [_job("x"), _job("y")], {}), sent=_SENT, at_rest=False)
    assert not late.wrong
    assert late.unfinished == ["unbounded: 1 of 2 are not over"]


@pytest.mark.parametrize(
    ("jobs", "why"),
    [
        ([_job("x")], "0 jobs completed"),
        ([_job("x"), _job("y"), {**_job("y"), "name": "job-z"}], "2 jobs completed"),
        ([_job("x"), _job("y"), _job("z")], "job nobody knows of: job-z"),
    ],
)
def test_each_completed_run_has_one_completed_job(jobs: list[Json], why: str) -> None:
    records = [_record(k, "completed") for k in "xy"]
    assert why in " ".join(_checked(Books(records, jobs, {}), sent=_SENT).wrong)


@pytest.mark.parametrize(
    ("batches", "told", "why"),
    [
        ([_batch("b", "x", "y")], "xy", ""),
        ([_batch("b", "x", "y"), _batch("c", "y")], "xy", "event y is in 2 batches"),
        ([_batch("b", "x")], "x", "y.txt is in no batch, it says in b"),
        ([_batch("b", "x", "y")], "x", "told of others than its events"),
    ],
)
def test_each_event_is_in_one_batch_whose_job_was_told(
    batches: list[Json], told: str, why: str
) -> None:
    events = [_event(key) for key in "xy"]
    jobs = [_job(batch["key"], trigger="together") for batch in batches]
    lines = [{"event": one["event"]} for one in events if one["key"] in told]
    books = Books([*events, *batches], jobs, {"b": lines})
    wrong = _checked(books, sent={"again": 0, "together": 2}).wrong
    assert why in " ".join(wrong)
    assert bool(wrong) == bool(why)


@pytest.mark.parametrize("key", ["_SUCCESS", "x"])
def test_only_what_completed_nothing_is_in_no_batch(key: str) -> None:
    event = {**_event(key, None), "state": "batched"}
    event["event"]["subject"] = f"landing/together/{key}"
    wrong = _checked(Books([event], [], {}), sent={"again": 0, "together": 1}).wrong
    assert bool(wrong) == (key == "x")


def _looks(events: int, *, kilobytes: float, files: float = 0) -> list[tuple[float, Use]]:
    """Sixty looks at a host that keeps so much of each event, and goes up and down besides."""
    random = Random(1)
    found = []
    for look in range(60):
        count = events * look / 59
        megabytes = 150 + random.uniform(-2, 2) + kilobytes * count / 1024
        number = 20 + random.randint(-4, 4) + files * count / 1000
        found.append((count, Use(megabytes=megabytes, files=round(number))))
    return found


def test_a_host_that_keeps_something_of_each_event_is_noticed() -> None:
    assert not Growth.of(_looks(1500, kilobytes=0)).wrong
    assert "MB more" in Growth.of(_looks(1500, kilobytes=12)).wrong[0]
    assert "open files more" in Growth.of(_looks(1500, kilobytes=0, files=20)).wrong[0]


def test_few_events_say_nothing() -> None:
    few = Growth.of(_looks(300, kilobytes=12))
    assert not few.enough
    assert not few.wrong
    assert "says nothing" in str(few)
