"""Two ways of doing one thing, timed side by side: these machines are noisy, ratios are less so."""

import time
from collections.abc import Callable
from statistics import median
from typing import Literal, NotRequired, TypedDict


class Figure(TypedDict):
    """What a benchmark found: ours and the reference in the unit that its name ends with."""

    name: str
    #: Medians.
    ours: float
    reference: float
    #: Ours to the reference.
    ratio: float
    #: The least and the most that it was, in so many turns.
    ratio_from: NotRequired[float]
    ratio_to: NotRequired[float]
    rounds: NotRequired[int]
    #: The reference did not end: it takes more, and the ratio is less.
    reference_is: NotRequired[Literal["at least"]]


def compared(
    name: str, ours: Callable[[], object], reference: Callable[[], object], *, rounds: int = 15
) -> Figure:
    """Medians of both, measured in turns."""
    mine, theirs = [], []
    for _ in range(rounds):
        mine.append(_milliseconds(ours))
        theirs.append(_milliseconds(reference))
    return figure(name, median(mine), median(theirs))


def figure(name: str, ours: float, reference: float) -> Figure:
    return Figure(
        name=name,
        ours=round(ours, 4),
        reference=round(reference, 4),
        ratio=round(ours / reference, 3),
    )


def _milliseconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000
