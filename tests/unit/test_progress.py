"""Work in stages, and how it stands when it stops."""

import threading

import pytest

from shared.errors import JobRejected, WorkspaceUnavailable
from shared.progress import How, Piece, Progress


class Bench:
    """Pieces of work that remember their order, and what was told of them."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.told: list[str] = []
        self.progress = Progress(self.told.append)

    def piece(self, what: str, error: BaseException | None = None, *, there: bool = False) -> Piece:
        def do() -> bool:
            if error:
                raise error
            self.did.append(what)
            return not there

        return Piece("made", what, do)

    @property
    def standing(self) -> dict[str, How]:
        return {each.what: each.how for each in self.progress.standing}


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_stages_come_one_after_the_other_and_each_piece_is_told(bench: Bench) -> None:
    first, second = [bench.piece("a"), bench.piece("b", there=True)], [bench.piece("c")]
    bench.progress.run([first, [], second])

    assert bench.did[-1] == "c"
    assert bench.standing == {"a": How.DONE, "b": How.THERE, "c": How.DONE}
    assert bench.told == ["made a", "made c"]


def test_the_pieces_of_a_stage_are_done_side_by_side(bench: Bench) -> None:
    both = threading.Barrier(2, timeout=10)

    def meet() -> bool:
        both.wait()
        return True

    bench.progress.run([[Piece("met", "a", meet), Piece("met", "b", meet)]])

    assert set(bench.standing.values()) == {How.DONE}


@pytest.mark.parametrize(
    ("error", "how", "why"),
    [
        (JobRejected("UserError", "no"), How.REFUSED, "AzureML refused it (UserError): no"),
        (WorkspaceUnavailable("503"), How.UNKNOWN, "503"),
        (OSError("the disk"), How.UNKNOWN, "the disk"),
        (KeyboardInterrupt(), How.UNKNOWN, ""),
    ],
)
@pytest.mark.parametrize("others", [0, 1])
def test_what_comes_after_a_failure_is_left(
    bench: Bench, error: BaseException, how: How, why: str, others: int
) -> None:
    stage = [bench.piece("bad", error), *(bench.piece(f"other {n}") for n in range(others))]
    with pytest.raises(type(error)):
        bench.progress.run([[bench.piece("before")], stage, [bench.piece("after")]])

    assert bench.standing["before"] is How.DONE
    assert bench.standing["bad"] is how
    assert bench.standing["after"] is How.LEFT
    [bad] = [each for each in bench.progress.standing if each.what == "bad"]
    assert bad.why == why


def test_what_is_under_way_is_awaited_and_nothing_more_is_begun(bench: Bench) -> None:
    failed, begun = threading.Event(), threading.Event()

    def bad() -> bool:
        begun.wait(10)
        failed.set()
        raise JobRejected("UserError", "no")

    def slow() -> bool:
        begun.set()
        assert failed.wait(10)
        return True

    def takes_long(number: int) -> Piece:
        def do() -> bool:
            threading.Event().wait(0.05)
            bench.did.append(f"later {number}")
            return True

        return Piece("made", f"later {number}", do)

    many = [takes_long(number) for number in range(200)]
    with pytest.raises(JobRejected):
        bench.progress.run([[Piece("made", "bad", bad), Piece("made", "slow", slow), *many]])

    assert How.LEFT in bench.standing.values()
    assert bench.standing["slow"] is How.DONE
    # Whatever is said to be left was not done, and the other way round.
    assert {what for what, how in bench.standing.items() if how is How.DONE} == {
        "slow",
        *bench.did,
    }
    assert set(bench.standing.values()) <= {How.DONE, How.REFUSED, How.LEFT}
