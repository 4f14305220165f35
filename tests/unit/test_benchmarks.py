"""What benchmarks make of what they measured."""

import io

from rich.console import Console

from tests.benchmarks import showing
from tests.benchmarks.costs import Cost
from tests.benchmarks.submitting import AT_MOST, OURS, SUBMIT, Kind, Row, figures

STOCK = Kind(SUBMIT, "stock SDK, inline")


def costs(*milliseconds: float, requests: int = 1) -> tuple[Cost, ...]:
    return tuple(
        Cost(requests=requests, storage_requests=0, cpu_ms=ms, wall_ms=2 * ms, served_ms=1)
        for ms in milliseconds
    )


def shown(*rows: Row) -> str:
    text = io.StringIO()
    showing.show(Console(file=text, width=80), rows)
    return text.getvalue()


def test_a_ratio_is_that_of_one_turn() -> None:
    """The second turn was twice as slow for both: their ratio is the same."""
    rows = [
        Row(OURS[SUBMIT], 10, costs(10, 20, 30)),
        Row(STOCK, 10, costs(100, 200, 600, requests=11)),
    ]
    found = {each["name"].rpartition(": ")[2]: each for each in figures(rows)}

    cpu = found["CPU ms"]
    assert (cpu["ours"], cpu["reference"], cpu["ratio"]) == (20, 200, 0.1)
    assert (cpu["ratio_from"], cpu["ratio_to"], cpu["rounds"]) == (0.05, 0.1, 3)
    assert found["requests to AzureML"]["reference"] == 11
    # Whole lines, also where a terminal is narrow.
    [line] = [line for line in shown(*rows).splitlines() if STOCK.way in line]
    assert line.rstrip().endswith("10x (10-20)  10x (10-20)")


def test_what_did_not_end_is_told_as_a_bound() -> None:
    rows = [Row(OURS[SUBMIT], 1_000, costs(10)), Row(STOCK, 1_000, ())]
    [figure] = figures(rows)

    assert figure["reference_is"] == "at least"
    assert figure["reference"] == AT_MOST * 1000
    assert f"> {AT_MOST:.0f} s" in shown(*rows)


def test_without_ours_there_is_nothing_to_compare() -> None:
    rows = [Row(OURS[SUBMIT], 1_000, ()), Row(STOCK, 1_000, costs(10))]

    assert list(figures(rows)) == []
    assert f"> {AT_MOST:.0f} s" in shown(*rows)
