"""`make bench`: every benchmark, as a table and in build/bench.json."""

import argparse
import json
import sys
from itertools import chain
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks import (
    cold_start,
    matching,
    per_event,
    recurring,
    showing,
    storms,
    submitting,
    ticking,
    tracing,
)

_RESULTS = Path("build", "bench.json")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    storm = storms.Storms()
    parser.add_argument(
        "--uploads", type=int, default=storm.uploads, help=f"of one storm ({storm.uploads})"
    )
    storm = storms.Storms(uploads=parser.parse_args().uploads)
    console = Console(highlight=False)
    table = Table("", "ours", "reference", "ratio", box=None, pad_edge=False)
    found = []
    rooms = (
        matching.figures(),
        recurring.figures(),
        ticking.figures(),
        tracing.figures(),
        per_event.figures(),
        cold_start.figures(),
        storms.figures(storm),
    )
    for figure in chain.from_iterable(rooms):
        found.append(figure)
        table.add_row(
            figure["name"],
            f"{figure['ours']:g}",
            f"{figure['reference']:g}",
            f"{figure['ratio']:g}",
        )
        console.print(f"  {figure['name']}: {figure['ratio']:g}", style="dim", markup=False)
    console.print(table)
    console.print()
    rows = list(submitting.rows(lambda line: console.print(f"  {line}", style="dim")))
    showing.show(console, rows)
    found += submitting.figures(rows)
    _RESULTS.parent.mkdir(exist_ok=True)
    _RESULTS.write_text(json.dumps(found, indent=2) + "\n")
    console.print(f"written to {_RESULTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
