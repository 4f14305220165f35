"""One storm from start to end: streams and mishaps at once, then calm, then the books."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.e2e.running_signalbox import Json
from tests.faults import books
from tests.faults.books import Books, Use
from tests.faults.mishaps import Mishaps
from tests.faults.streams import Streams
from tests.faults.world import World

#: Runs of a slot of these triggers that may be under way at once.
LIMITS = {"again": 5, "two-a-shop": 2, "skipping": 1}

#: With more open runs than these nothing is sent, so that a storm ends soon after its time.
_MOST_OPEN = 150


@dataclass(kw_only=True)
class Outcome:
    """What a storm came to. `wrong` is empty when every promise was kept."""

    wrong: list[str]
    sent: Counter[str]
    states: dict[str, Counter[str]]
    met: Counter[str]
    #: Of the app alone, while events came.
    requests: Json
    calls: Counter[str]
    seconds: float
    resting: float
    #: Before and after the stretch without kills, for each host.
    use: list[tuple[Use, Use]] = field(default_factory=list)

    @property
    def redeliveries(self) -> int:
        """Calls of functions beyond one for each event."""
        ways = ("blob_uploads", "queue_messages", "http_api")
        return sum(self.calls[way] for way in ways) - self.sent.total()

    def lines(self) -> list[str]:
        """The books, for a person."""
        rate = self.sent.total() / self.seconds
        found = [
            f"sent in {self.seconds:.0f} s     {_listed(self.sent)}; {rate:.1f} a second",
            f"at rest after    {self.resting:.0f} s more",
        ]
        found += [f"runs of {t:<12} {_listed(runs)}" for t, runs in sorted(self.states.items())]
        found += [
            f"met              {_listed(self.met)}",
            f"delivered again  {self.redeliveries}",
            f"calls            {_listed(self.calls)}",
            f"requests         {self.requests['azureml']} to AzureML, "
            f"{_listed(self.requests['storage'])} to storage",
        ]
        found += [
            f"host {number}           {before} -> {after}"
            for number, (before, after) in enumerate(self.use, start=1)
        ]
        return found + [f"WRONG            {line}" for line in self.wrong]


@dataclass(frozen=True, kw_only=True)
class Weather:
    """How long, how much and how bad."""

    #: seconds with kills
    storm: float
    #: seconds without, at whose ends memory and open files are looked at
    calm: float
    #: events a second in each stream
    per_second: float
    kills_every: float
    faults_every: float
    #: Leases are waited for; otherwise records are made older.
    patient: bool
    #: seconds until all must be at rest
    rest: float


def storm(
    world: World, weather: Weather, *, seed: int, say: Callable[[str], None] = lambda _: None
) -> Outcome:
    """Let it come down, and look what is left."""
    began, use = time.monotonic(), []
    rough = Mishaps(world, seed, kills_every=weather.kills_every, faults_every=weather.faults_every)
    mild = Mishaps(world, seed + 1, kills_every=None, faults_every=weather.faults_every)
    with Streams(world, seed, per_second=weather.per_second) as streams:
        with rough:
            _pass(weather.storm, "storm", streams, say)
        if weather.calm:
            with mild:
                # What is loaded on first use is loaded by then.
                _pass(weather.calm / 4, "calm", streams, say)
                before = [Use.of(host) for host in world.hosts]
                _pass(weather.calm * 3 / 4, "calm", streams, say)
            use = [(b, Use.of(h)) for b, h in zip(before, world.hosts, strict=True)]
    seconds = time.monotonic() - began
    # before the test itself looks at records
    requests = books.requests(world)
    left = books.come_to_rest(world, seconds=weather.rest, patient=weather.patient, say=say)
    resting = time.monotonic() - began - seconds
    found = Books(world)
    wrong = [*rough.errors, *mild.errors, *streams.errors, *(f"left: {name}" for name in left)]
    wrong += found.wrong(streams.sent) + found.overlaps(LIMITS)
    return Outcome(
        wrong=wrong,
        sent=streams.sent,
        states=found.states(),
        met=rough.met + mild.met,
        requests=requests,
        calls=books.calls(world),
        seconds=seconds,
        resting=resting,
        use=use,
    )


def _pass(seconds: float, name: str, streams: Streams, say: Callable[[str], None]) -> None:
    deadline, told = time.monotonic() + seconds, time.monotonic()
    while (left := deadline - time.monotonic()) > 0:
        time.sleep(min(left, 2))
        streams.keep_within(_MOST_OPEN)
        if time.monotonic() - told > 20:
            told = time.monotonic()
            say(f"{datetime.now(UTC):%H:%M:%S} {name}: {streams.sent.total()} events so far")


def _listed(counts: Counter[str] | Json) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "nothing"
