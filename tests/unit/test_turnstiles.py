"""Threads of one process that want to change the same thing."""

import threading
from dataclasses import dataclass

import pytest

from shared.errors import StorageUnavailable
from shared.turnstiles import Crowd, Turnstiles, Wish


@dataclass(eq=False)
class Add(Wish[int]):
    number: int


class Sum:
    """A total that one thread at a time adds to; each batch of wishes is noted."""

    def __init__(self) -> None:
        self.total = 0
        self.batches: list[list[int]] = []

    def serve(self, crowd: Crowd[Add]) -> None:
        wishes = crowd.wishes()
        self.batches.append([wish.number for wish in wishes])
        self.total += sum(wish.number for wish in wishes)
        crowd.grant(lambda still: dict.fromkeys(still, self.total), wishes)


def test_one_alone_serves_itself() -> None:
    turnstiles, total, wish = Turnstiles(), Sum(), Add(3)
    turnstiles.through("blob", wish, total.serve)
    assert (wish.answer, total.batches) == (3, [[3]])


def test_who_comes_while_another_is_at_it_is_served_with_all_who_wait() -> None:
    turnstiles, total = Turnstiles(), Sum()
    at_it, go_on = threading.Event(), threading.Event()

    def slowly(crowd: Crowd[Add]) -> None:
        wishes = crowd.wishes()
        at_it.set()
        assert go_on.wait(5)
        crowd.grant(lambda still: dict.fromkeys(still, 0), wishes)

    first, others = Add(1), [Add(10), Add(20), Add(30)]
    threads = [threading.Thread(target=turnstiles.through, args=("blob", first, slowly))]
    threads[0].start()
    assert at_it.wait(5)
    threads += [
        threading.Thread(target=turnstiles.through, args=("blob", other, total.serve))
        for other in others
    ]
    for thread in threads[1:]:
        thread.start()
    elsewhere = Add(7)
    turnstiles.through("another blob", elsewhere, Sum().serve)
    while len(turnstiles._turnstiles["blob"].waiting) < len(threads):
        assert all(thread.is_alive() for thread in threads)
    go_on.set()
    for thread in threads:
        thread.join(5)

    assert [sorted(batch) for batch in total.batches] == [[10, 20, 30]]
    assert (first.answer, [other.answer for other in others]) == (0, [60] * 3)
    assert elsewhere.answer == 7


def test_who_fails_fails_alone_and_the_next_serves_the_others() -> None:
    turnstiles, total = Turnstiles(), Sum()
    at_it, go_on = threading.Event(), threading.Event()
    raised: list[Exception] = []

    def fail(_crowd: Crowd[Add]) -> None:
        at_it.set()
        assert go_on.wait(5)
        raise StorageUnavailable("not now")

    def first() -> None:
        try:
            turnstiles.through("blob", Add(1), fail)
        except StorageUnavailable as error:
            raised.append(error)

    second = Add(2)
    threads = [
        threading.Thread(target=first),
        threading.Thread(target=turnstiles.through, args=("blob", second, total.serve)),
    ]
    threads[0].start()
    assert at_it.wait(5)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join(5)

    assert len(raised) == 1
    assert (total.batches, second.answer) == ([[2]], 2)


class Shut:
    """A lock that is not had in time."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:  # noqa: ARG002
        return False

    def release(self) -> None:
        raise AssertionError("it was not had")


def test_who_waits_too_long_serves_itself_alone_and_is_not_served_again() -> None:
    turnstiles, total = Turnstiles(Shut), Sum()
    late = Add(5)

    def long(crowd: Crowd[Add]) -> None:
        wishes = crowd.wishes()
        # Meanwhile another gives up waiting.
        turnstiles.through("blob", late, total.serve)
        crowd.grant(lambda still: dict.fromkeys(still, 0), wishes)

    turnstiles.through("blob", Add(1), long)
    assert (total.batches, late.answer) == ([[5]], 5)


def test_nothing_is_kept_of_what_nobody_is_at() -> None:
    turnstiles = Turnstiles()
    for number in range(3):
        turnstiles.through(f"blob {number}", Add(number), Sum().serve)
    with pytest.raises(StorageUnavailable):
        turnstiles.through("blob", Add(1), _fail)
    assert not turnstiles._turnstiles


def _fail(_crowd: Crowd[Add]) -> None:
    raise StorageUnavailable("not now")
