"""The reckoning: what was sent, what became of it, and what is left that should not be."""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.e2e.running_signalbox import Json
from tests.faults.world import STATE, World

#: Where nothing may be left when every run is over.
_LIMBO = ("open/", "queue/", "held/", "inbox/")
#: States of a record that are left by and by.
_UNDER_WAY = {
    *("held", "queued", "waiting_batch", "waiting_compute", "submitting", "submitted", "running")
}


def limbo(world: World) -> list[str]:
    """What is not over yet, in words; empty when all has come to rest."""
    found = world.names(*_LIMBO)
    for name in world.names("slots/"):
        slot = world.read(name)
        if slot["holders"] or slot["waiting"]:
            found.append(f"{name}: {len(slot['holders'])} hold, {slot['waiting']} wait")
    return found + [f"{count} {what}" for what, count in world.on_its_way().items()]


@dataclass(frozen=True, kw_only=True)
class Rest:
    """How the time after the last event ended."""

    #: What is not over.
    left: list[str]
    #: Something of it was still changing when the time was over.
    changing: bool


def come_to_rest(
    world: World, *, still: float, most: float, patient: bool, say: Callable[[str], None]
) -> Rest:
    """Let timers look until nothing is left to do.

    That goes on as long as something changes: nothing for `still` seconds means that nothing will.
    After `most` seconds there is no more time. Without `patient`, nothing waits for a lease:
    records are made older instead.
    """
    began = changed = told = time.monotonic()
    pause = 5.0 if patient else 1.5
    before: list[str] = []
    while True:
        looking = time.monotonic()
        left, now = limbo(world), time.monotonic()
        if left != before:
            before, changed = left, now
        if not left or now - changed > still or now - began > most:
            return Rest(left=left, changing=now - changed <= still)
        if not patient:
            world.grow_old()
            world.ticks()
        if now - told > 20:
            told = now
            say(f"{len(left)} left, such as {left[0]}")
        # The timer of the app comes by itself; there is nothing to wait for. Storage that has no
        # time for the looks is left some for the rest.
        time.sleep(max(pause, 2 * (now - looking)))


class Books:
    """Every record, every job, every manifest, and whether they fit what was sent.

    `wrong` breaks a promise, whatever comes. `unfinished` is what more time would have shown.
    """

    def __init__(self, records: list[Json], jobs: list[Json], manifests: dict[str, list[Json]]):
        self.records = records
        self.jobs = jobs
        #: What the job of each batch was told, by its record's key.
        self._manifests = manifests
        self.wrong: list[str] = []
        self.unfinished: list[str] = []

    @classmethod
    def of(cls, world: World) -> "Books":
        names = world.names("ledger/")
        with ThreadPoolExecutor(8) as pool:
            records = list(pool.map(world.read, names))
        told = {r["key"]: world.manifest(r) for r in records if r["members"] and r["attempts"]}
        return cls(records, world.control("GET", "/jobs"), told)

    def states(self) -> dict[str, Counter[str]]:
        """How many runs of each trigger are in which state; those of batches by themselves."""
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for record in self.records:
            batches = " (batches)" if record["members"] else ""
            found[record["trigger"] + batches][record["state"]] += 1
        return dict(found)

    def check(self, sent: Mapping[str, int], *, on_their_way: int, at_rest: bool) -> None:
        """Everything; `sent` is how many events each trigger had."""
        states = self.states()
        missing = 0
        for trigger, events in sent.items():
            runs = states.pop(trigger, Counter())
            missing += events - runs.total()
            self._check_events(trigger, events, runs)
        self._check_missing(missing, on_their_way, "events")
        ends, chained = sent["again"], states.pop("afterwards", Counter())
        self._check_events("afterwards", ends, chained)
        # Whoever is not over has not been followed either.
        going = sum(r["trigger"] == "again" and r["state"] in _UNDER_WAY for r in self.records)
        ahead = missing + going if at_rest else ends
        self._check_missing(ends - chained.total(), ahead, "ends of runs")
        self._check_events("batches", None, states.pop("together (batches)", Counter()))
        self.wrong += [f"runs of {trigger}: {dict(runs)}" for trigger, runs in states.items()]
        self._check_jobs()
        self._check_batches()

    def _check_events(self, trigger: str, events: int | None, runs: Counter[str]) -> None:
        good = {"completed"}
        if trigger in ("skipping", "together"):
            good.add("skipped")
        if trigger == "together":
            good = {"batched", "skipped"}
        going = sum(count for state, count in runs.items() if state in _UNDER_WAY)
        if going:
            self.unfinished.append(f"{trigger}: {going} of {runs.total()} are not over")
        bad = {state: n for state, n in runs.items() if state not in good | _UNDER_WAY}
        if bad:
            self.wrong.append(f"{trigger}: {bad}")
        if events is not None and runs.total() > events:
            self.wrong.append(f"{trigger}: {runs.total()} runs of {events} events")

    def _check_missing(self, missing: int, on_their_way: int, what: str) -> None:
        if missing > on_their_way:
            self.wrong.append(
                f"LOST: {missing} {what} left no record, and {on_their_way} are on their way"
            )
        elif missing > 0:
            self.unfinished.append(f"{missing} {what} are on their way")

    def _check_jobs(self) -> None:
        """One completed job for each completed run, and none that no run knows."""
        jobs = {job["name"]: job for job in self.jobs}
        completed = Counter(
            job["tags"].get("signalbox_run") for job in self.jobs if job["status"] == "Completed"
        )
        known = set()
        for record in self.records:
            run = f"{record['trigger']}.{record['key']}"
            names = [attempt["job_name"] for attempt in record["attempts"]]
            known |= {*names} if record["state"] != "skipped" else set()
            wanted = {1} if record["state"] == "completed" else {0}
            if record["state"] in _UNDER_WAY:
                wanted = {0, 1}
            if completed[run] not in wanted:
                self.wrong.append(f"{run} is {record['state']}, {completed[run]} jobs completed")
            first = [jobs[name]["status"] for name in names[:-1]]
            if record["state"] == "completed" and first != ["Failed"] * len(first):
                self.wrong.append(f"{run}: an attempt followed another that had not failed")
        self.wrong += [f"job nobody knows of: {name}" for name in jobs.keys() - known]

    def _check_batches(self) -> None:
        """Each event in exactly one batch, whose job was told of it."""
        events = {r["key"]: r for r in self.records if r["member"]}
        batches = {r["key"]: r for r in self.records if r["members"]}
        taken = Counter(m for batch in batches.values() for m in batch["members"])
        self.wrong += [f"event {key} is in {n} batches" for key, n in taken.items() if n > 1]
        self.wrong += [
            f"a batch has {key}, which is no event" for key in taken.keys() - events.keys()
        ]
        for key, event in events.items():
            subject = event["event"]["subject"]
            taker = batches.get(event["batch"], {"members": []})
            # What completed nothing is in no batch.
            alone = event["batch"] is None and _completes(event)
            if event["state"] == "batched" and not alone and key not in taker["members"]:
                self.wrong.append(f"{subject} is in no batch, it says in {event['batch']}")
            if event["state"] == "skipped" and not _completes(event):
                self.wrong.append(f"{subject} is skipped: {event['reason']}")
        for key, lines in self._manifests.items():
            members = [events[member] for member in batches[key]["members"]]
            wanted = Counter(_what(m["event"]) for m in members if not _completes(m))
            if Counter(_what(line["event"]) for line in lines) != wanted:
                self.wrong.append(f"the job of batch {key} was told of others than its events")

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


def _completes(member: Json) -> bool:
    """It says that a group is complete, and is no event of a batch itself."""
    return bool(member["event"]["subject"].endswith("/_SUCCESS"))


def _what(event: Json) -> tuple[str, str]:
    return event["subject"], event["data"]["eTag"]


def requests(world: World) -> Json:
    """Requests so far: to AzureML, and to the state's account by method."""
    host = world.azure.topology.account(STATE).host
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
