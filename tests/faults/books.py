"""The reckoning: what was sent, what became of it, and what is left that should not be."""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from emulator.stack import FunctionsHost
from tests.e2e.running_signalbox import Json
from tests.faults.world import World

#: Where nothing may be left when every run is over.
_LIMBO = ("open/", "queue/", "held/", "inbox/")


@dataclass(frozen=True, kw_only=True)
class Use:
    """What one process takes."""

    megabytes: float
    files: int

    @classmethod
    def of(cls, host: FunctionsHost) -> "Use":
        """Resident memory and open files of a host that runs."""
        process = Path("/proc") / str(host.pid)
        [line] = [x for x in (process / "status").read_text().splitlines() if x.startswith("VmRSS")]
        return cls(
            megabytes=round(int(line.split()[1]) / 1024, 1),
            files=len([*(process / "fd").iterdir()]),
        )

    def __str__(self) -> str:
        return f"{self.megabytes:g} MB, {self.files} files"


def limbo(world: World) -> list[str]:
    """What is not over yet, in words; empty when all has come to rest."""
    found = world.names(*_LIMBO)
    for name in world.names("slots/"):
        slot = world.read(name)
        if slot["holders"] or slot["waiting"]:
            found.append(f"{name}: {len(slot['holders'])} hold, {slot['waiting']} wait")
    waiting = world.control("GET", "/service_bus")["signalbox-events"]
    found += [f"message {state}" for state in ("active", "locked") if waiting[state]]
    pending = [d for d in world.control("GET", "/deliveries") if d["state"] == "pending"]
    return found + [f"event {d['event']['subject']}" for d in pending]


def come_to_rest(
    world: World, *, seconds: float, patient: bool, say: Callable[[str], None]
) -> list[str]:
    """Let timers look until nothing is left to do; what is left after so long.

    Without `patient`, nothing waits for a lease: records are made older instead.
    """
    deadline = time.monotonic() + seconds
    told = time.monotonic()
    pause = 5.0 if patient else 1.5
    while (left := limbo(world)) and time.monotonic() < deadline:
        if not patient:
            world.grow_old()
            world.ticks()
        time.sleep(pause)  # the timer of the app comes by itself; there is nothing to wait for
        if time.monotonic() - told > 20:
            told = time.monotonic()
            say(f"{len(left)} left, such as {left[0]}")
    return left


class Books:
    """Every record, every job, and whether they fit what was sent."""

    def __init__(self, world: World) -> None:
        names = world.names("ledger/")
        with ThreadPoolExecutor(8) as pool:
            self.records = list(pool.map(world.read, names))
        self.jobs: list[Json] = world.control("GET", "/jobs")

    def states(self) -> dict[str, Counter[str]]:
        """How many runs of each trigger are in which state."""
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for record in self.records:
            found[record["trigger"]][record["state"]] += 1
        return dict(found)

    def wrong(self, sent: Mapping[str, int]) -> list[str]:
        """Whatever does not fit; `sent` is how many events each trigger had."""
        found = []
        states = self.states()
        expected = {**sent, "afterwards": sent["again"]}
        for trigger, events in expected.items():
            runs = states.pop(trigger, Counter())
            skipped = runs.pop("skipped", 0) if trigger == "skipping" else 0
            if runs.pop("completed", 0) + skipped != events or runs:
                found.append(f"{trigger}: {events} events, but {dict(self.states()[trigger])}")
        found += [f"runs of {trigger}: {dict(runs)}" for trigger, runs in states.items()]
        return found + self._jobs_wrong()

    def _jobs_wrong(self) -> list[str]:
        """One completed job for each completed run, and none that no run knows."""
        found = []
        jobs = {job["name"]: job for job in self.jobs}
        completed = Counter(
            job["tags"].get("signalbox_run") for job in self.jobs if job["status"] == "Completed"
        )
        known = set()
        for record in self.records:
            run = f"{record['trigger']}.{record['key']}"
            names = [attempt["job_name"] for attempt in record["attempts"]]
            known |= {*names} if record["state"] != "skipped" else set()
            wanted = 1 if record["state"] == "completed" else 0
            if completed[run] != wanted:
                found.append(f"{run} is {record['state']} with {completed[run]} completed jobs")
            if wanted and [jobs[n]["status"] for n in names[:-1]] != ["Failed"] * len(names[:-1]):
                found.append(f"{run}: an attempt followed another that had not failed")
        found += [f"job nobody knows of: {name}" for name in jobs.keys() - known]
        return found

    def overlaps(self, limits: Mapping[str, int]) -> list[str]:
        """Slots that held more runs at once than their limit, told by the records' times.

        Times are whole seconds of storage, so only what overlaps by more than one counts.
        """
        spans: dict[tuple[str, str], list[tuple[str, int]]] = defaultdict(list)
        for record in self.records:
            if record["trigger"] in limits and record.get("slot"):
                at = {t["state"]: t["at"] for t in record["transitions"]}
                begun = at.get("submitted")
                ended = at.get("completed") or at.get("failed")
                if begun and ended and begun < ended:
                    where = (record["trigger"], record["slot"])
                    spans[where] += [(begun, 1), (ended, -1)]
        found = []
        for (trigger, slot), changes in spans.items():
            most = under_way = 0
            for _, change in sorted(changes):
                under_way += change
                most = max(most, under_way)
            if most > limits[trigger]:
                found.append(f"{trigger} {slot}: {most} at once")
        return found


def requests(world: World) -> Json:
    """Requests so far: to AzureML, and to the state's account by method."""
    host = world.azure.topology.account("signalboxstate").host
    storage: Counter[str] = Counter()
    with (world.azure.logs / "azurite.log").open() as lines:
        for line in lines:
            if line.startswith("{"):
                request = json.loads(line)
                if request["host"].startswith(host):
                    storage[request["method"]] += 1
    return {"azureml": len(world.arm_requests()), "storage": dict(storage)}


def calls(world: World) -> Counter[str]:
    """How often each function was called, on all hosts."""
    found: Counter[str] = Counter()
    for host in world.hosts:
        with host.log.open(errors="replace") as lines:
            for line in lines:
                _, marked, rest = line.partition(" INFO Host Executing 'Functions.")
                if marked:
                    found[rest.partition("'")[0]] += 1
    return found
