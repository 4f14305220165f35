"""Costs as a table for a person."""

import io
from collections.abc import Callable, Sequence
from statistics import median

from rich.console import Console
from rich.table import Table

from tests.benchmarks.costs import Cost
from tests.benchmarks.submitting import AT_MOST, OURS, Row, in_steps

_NOTE = (
    "Medians, and from the least to the most. CPU is this process' own, all threads; wall is time "
    "on the clock, which holds what the local AzureML needed to answer (served; added up, also "
    "where requests went side by side) on the same processors. Nothing is subtracted. The stock "
    "SDK has no publish: beside ours is a script that registers the same components with it, one "
    "by one; ours registers eight at a time."
)


def show(console: Console, found: Sequence[Row]) -> None:
    """One table for each thing that is done, at each number of steps."""
    for what, ours in OURS.items():
        for steps in dict.fromkeys(row.steps for row in found):
            rows = [row for row in found if (row.kind.what, row.steps) == (what, steps)]
            mine = next((row.costs for row in rows if row.kind == ours), ())
            turns = max((len(row.costs) for row in rows), default=0)
            table = Table("", *_COLUMNS, box=None, pad_edge=False)
            for column in table.columns[1:]:
                column.justify = "right"
            for row in rows:
                table.add_row(row.kind.way, *_cells(row.costs, mine))
            console.print(f"{what} of {in_steps(steps)}, {turns} x", style="bold")
            # A row is a line, however narrow the terminal: cut figures are none.
            wide = Console(file=io.StringIO(), width=_WIDTH)
            with wide.capture() as captured:
                wide.print(table)
            console.print(captured.get(), markup=False, soft_wrap=True)
    console.print(_NOTE, style="dim")


_WIDTH = 160
_COLUMNS = ("requests", "CPU ms", "wall ms", "served ms", "CPU / ours", "wall / ours")


def _cells(costs: Sequence[Cost], mine: Sequence[Cost]) -> list[str]:
    if not costs:
        return ["", "", f"> {AT_MOST:,.0f} s"]
    storage = median(cost.storage_requests for cost in costs)
    requests = f"{median(cost.requests for cost in costs):,.0f}"
    return [
        f"{requests} + {storage:,.0f} state" if storage else requests,
        _spread(costs, lambda cost: cost.cpu_ms),
        _spread(costs, lambda cost: cost.wall_ms),
        _spread(costs, lambda cost: cost.served_ms),
        _times(costs, mine, lambda cost: cost.cpu_ms),
        _times(costs, mine, lambda cost: cost.wall_ms),
    ]


def _spread(costs: Sequence[Cost], of: Callable[[Cost], float]) -> str:
    return _middle([of(cost) for cost in costs], "")


def _times(costs: Sequence[Cost], mine: Sequence[Cost], of: Callable[[Cost], float]) -> str:
    if not mine:
        return ""
    return _middle([of(a) / of(b) for a, b in zip(costs, mine, strict=True)], "x")


def _middle(values: Sequence[float], unit: str) -> str:
    middle = f"{_figure(median(values))}{unit}"
    if len(values) == 1:
        return middle
    return f"{middle} ({_figure(min(values))}-{_figure(max(values))})"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
