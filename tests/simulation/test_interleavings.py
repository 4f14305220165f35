"""Rules whose absence shows in one history of a thousand: every way in which two calls can meet."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, count

import pytest
from greenlet import getcurrent, greenlet

from shared.binding import RUN_TAG
from shared.ledger import Record, State
from tests.simulation.slot_traps import (
    FoundThoughItBegan,
    NobodyWaitsInAnyCase,
    NotLookedForAgain,
    RoomIsAnybodys,
)
from tests.unit import scene
from tests.unit.scene import TRIGGER, Scene, event, trigger

#: Ticks in which what waits must have begun.
_TICKS = 5


class Course(Scene):
    """A trigger that runs one at a time, and its uploads by number."""

    def __init__(self) -> None:
        super().__init__()
        self.publish(trigger(policies={"concurrency": {"limit": 1}, "overlap": "buffer_all"}))
        self.keys: dict[int, str] = {}

    def upload(self, number: int) -> None:
        self.world.pass_time(1)
        [decision] = self.dispatcher.handle(event(etag=f"0x{number}"))
        assert decision.record is not None
        self.keys[number] = decision.record.key

    def now(self, number: int) -> Record:
        kept = self.ledger.read(TRIGGER, self.keys[number])
        assert kept is not None
        return kept.record

    def end(self, number: int) -> None:
        self.workspace.end(self.now(number).attempt.job_name, "Completed")
        self.world.pass_time(61)
        self.tick.run()

    def cancel(self, number: int) -> None:
        self.submission.request_cancel(TRIGGER, self.keys[number])
        self.submission.resume(TRIGGER, self.keys[number])

    @property
    def in_line(self) -> list[str]:
        return [name for name in self.blobs.stored if name.startswith("queue/")]

    def to_the_end(self) -> list[int]:
        """Uploads in the order in which their jobs began."""
        for _ in range(_TICKS):
            for number in self.keys:
                if self.now(number).state in (State.SUBMITTED, State.RUNNING):
                    self.end(number)
            self.world.pass_time(61)
            self.tick.run()
        begun = [job.tags[RUN_TAG].partition(".")[2] for job in self.workspace.jobs.values()]
        numbers = {key: number for number, key in self.keys.items()}
        return [numbers[key] for key in begun]


def meetings(
    before: Callable[[Course], None],
    one: Callable[[Course], None],
    another: Callable[[Course], None],
) -> Iterator[Course]:
    """Courses in which one process stops at a request, another goes on to one of its own, the first
    goes on to its end, and so does the other: for every two requests."""
    for first in count():
        for second in count():
            course = Course()
            before(course)
            threads = [greenlet(partial(one, course)), greenlet(partial(another, course.process()))]
            stopped = _meet(course, threads, (first, second))
            if threads[0] not in stopped:
                return
            yield course
            if threads[1] not in stopped:
                break


def _meet(course: Course, threads: list[greenlet], calls: tuple[int, int]) -> list[greenlet]:
    """Which of two threads were stopped, each before that call of its own."""
    left = dict(zip(threads, calls, strict=True))
    stopped: list[greenlet] = []

    def meet(_call: str) -> None:
        me = getcurrent()
        if left[me] == 0:
            stopped.append(me)
            threads[1 - threads.index(me)].switch()
        left[me] -= 1

    course.world.before = meet
    for thread in threads:
        while not thread.dead:
            thread.switch()
    course.world.before = lambda _call: None
    return stopped


def overtaken() -> list[list[int]]:
    """Orders in which a run began before one that was answered before it came.

    The first run ends while the second comes, and then comes the third.
    """
    found = []
    for course in meetings(lambda c: c.upload(1), lambda c: c.upload(2), lambda c: c.end(1)):
        course.upload(3)
        order = course.to_the_end()
        assert sorted(order) == [1, 2, 3]
        if order != [1, 2, 3]:
            found.append(order)
    return found


def forgotten() -> list[set[int]]:
    """Which runs never begin when one comes while the last that waited is canceled."""

    def before(course: Course) -> None:
        course.upload(1)
        course.upload(2)

    return [
        missing
        for course in meetings(before, lambda c: c.upload(3), lambda c: c.cancel(2))
        if (missing := {1, 3} - set(course.to_the_end()))
    ]


def left() -> Iterator[list[str]]:
    """What is left of the line when one comes, or is looked at by the timer, while another ends."""

    def waits_long(course: Course) -> None:
        course.upload(1)
        course.upload(2)
        course.world.pass_time(7200)

    def look(course: Course) -> None:
        course.submission.resume(TRIGGER, course.keys[2])

    for course in chain(
        meetings(waits_long, look, lambda c: c.end(1)),
        meetings(lambda c: c.upload(1), lambda c: c.upload(2), lambda c: c.end(1)),
    ):
        course.to_the_end()
        if course.in_line:
            yield course.in_line


def test_nobody_is_overtaken_or_forgotten_and_no_line_is_left() -> None:
    assert overtaken() == []
    assert forgotten() == []
    assert [*left()] == []


def test_overtaking_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene, "Turns", RoomIsAnybodys)
    assert overtaken()


def test_forgetting_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene, "Turns", NotLookedForAgain)
    monkeypatch.setattr(scene, "Slots", NobodyWaitsInAnyCase)
    assert forgotten()


def test_what_is_left_of_a_line_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene, "Turns", FoundThoughItBegan)
    assert next(left(), None)
