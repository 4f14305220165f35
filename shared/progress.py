"""Work in stages: what is done so far, and what is left when it stops half way."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from enum import StrEnum

from shared.errors import Permanent

#: Pieces of one stage that are under way at once.
_AT_ONCE = 8


class How(StrEnum):
    """How a piece of work stands."""

    DONE = "done"
    #: It was there before.
    THERE = "there"
    #: It was refused, without any effect.
    REFUSED = "refused"
    #: It was begun and nobody said how it ended: it may have taken effect.
    UNKNOWN = "unknown"
    #: It was not begun.
    LEFT = "left"


@dataclass(frozen=True)
class Piece:
    """One piece of work."""

    #: In the past tense, as in `registered`.
    verb: str
    #: What it is done to, as in `component prepare_rows:0123456789abcdef`.
    what: str
    #: Does it; False when there was nothing to do.
    do: Callable[[], bool]


@dataclass(frozen=True)
class Standing:
    """How one piece stands, for a person."""

    what: str
    how: How
    #: What was said when it did not succeed.
    why: str = ""


class Progress:
    """Does pieces of work and tells each when it is done."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._standing: dict[str, Standing] = {}
        self._lock = threading.Lock()

    def run(self, stages: Sequence[Sequence[Piece]]) -> None:
        """Do the stages one after the other, the pieces of each side by side.

        Raises what the first piece that failed raised. What is under way is awaited then, and
        when the user interrupts; nothing more is begun.
        """
        for stage in stages:
            for piece in stage:
                self._put(Standing(piece.what, How.LEFT))
        for stage in stages:
            if len(stage) == 1:
                self._do(stage[0])
            elif stage:
                self._side_by_side(stage)

    def say(self, line: str) -> None:
        """Tell something; lines of several threads do not mix."""
        with self._lock:
            self._say(line)

    @property
    def standing(self) -> list[Standing]:
        """Of every piece, in order."""
        with self._lock:
            return list(self._standing.values())

    def _side_by_side(self, stage: Sequence[Piece]) -> None:
        pool = ThreadPoolExecutor(max_workers=_AT_ONCE)
        try:
            futures = [pool.submit(self._do, piece) for piece in stage]
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            pool.shutdown(cancel_futures=True)
        for future in futures:
            if not future.cancelled():
                future.result()

    def _do(self, piece: Piece) -> None:
        self._put(Standing(piece.what, How.UNKNOWN))
        try:
            did = piece.do()
        except Permanent as error:
            self._put(Standing(piece.what, How.REFUSED, str(error)))
            raise
        except Exception as error:
            self._put(Standing(piece.what, How.UNKNOWN, str(error)))
            raise
        self._put(Standing(piece.what, How.DONE if did else How.THERE))
        if did:
            self.say(f"{piece.verb} {piece.what}")

    def _put(self, standing: Standing) -> None:
        with self._lock:
            self._standing[standing.what] = standing
