"""From the start of a process to its first event and its first job, beside what cannot be less."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import httpx

from tests.benchmarks.machine import STOCK, Machine, machine, pipeline, trigger, write_definitions
from tests.benchmarks.timing import Figure, figure

_ROUNDS = 3


def figures() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        unlimited = {"concurrency": {"limit": "unlimited"}, "max_runs_per_day": "unlimited"}
        definitions = write_definitions(
            Path(folder),
            {"steps-1": pipeline(1)},
            [trigger("steps-1", "steps-1", unlimited)],
        )
        floor = median(_seconds(_import) for _ in range(_ROUNDS))
        with machine(definitions, timer=False) as found:
            taken = median(_first(found, "nobody") for _ in range(_ROUNDS))
            submitted = median(_first(found, "steps-1") for _ in range(_ROUNDS))
        with machine(definitions, app=STOCK) as stock:
            theirs = median(_first(stock, "steps-1") for _ in range(_ROUNDS))
    yield figure(
        "s from the start to the first event taken, beside `import azure.functions`", taken, floor
    )
    yield figure(
        "s from the start to the first job, beside the function without Signalbox",
        submitted,
        theirs,
    )


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _import() -> None:
    subprocess.run([sys.executable, "-c", "import azure.functions"], check=True)


def _first(found: Machine, folder: str) -> float:
    """Seconds from the start of a host until it has answered an event, asked again and again."""
    [host] = found.hosts
    host.stop()
    event = found.event(f"{folder}/first.csv")
    with httpx.Client(trust_env=False, timeout=60) as http:
        began = time.perf_counter()
        host.begin()
        while True:
            try:
                answer = http.post(
                    f"{host.url}/runtime/webhooks/EventGrid",
                    params={"functionName": "blob_uploads", "code": host.keys.event_grid},
                    headers={"aeg-event-type": "Notification"},
                    json=[event],
                )
            except httpx.ConnectError:
                time.sleep(0.01)  # nothing listens yet; there is nobody to wait for
                continue
            answer.raise_for_status()
            return time.perf_counter() - began
