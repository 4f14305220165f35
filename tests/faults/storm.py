"""One storm from start to end: streams and mishaps at once, then calm, then the books."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.e2e.running_signalbox import Json
from tests.faults import books
from tests.faults.books import Books
from tests.faults.growth import Growth, Use
from tests.faults.mishaps import Mishaps
from tests.faults.streams import Streams
from tests.faults.world import World

#: Runs of a slot of these triggers that may be under way at once.
LIMITS = {"again": 5, "two-a-shop": 2, "skipping": 1, "news": 10, "together": 2}

#: Seconds between two looks at what is to do, and how much longer at least than a look takes:
#: storage that is busy with the looks has no time for what is to do.
_LOOK, _LONGER = 2.0, 6.0
#: With more to do than this nothing is sent, so that a storm ends soon after its time.
_MOST_TO_DO = 150
#: Seconds of calm after which nothing is sent until so little is to do, or for so many seconds:
#: what a host takes then is what it keeps, not what it works with.
_STRETCH, _LITTLE, _REST = 100.0, 3, 90.0
#: Looks at the hosts then, a second from one another.
_LOOKS = 5


@dataclass(kw_only=True)
class Outcome:
    """What a storm came to. `wrong` is empty when every promise was kept, as far as one can say:
    `unfinished` is what the time was not enough for."""

    wrong: list[str]
    unfinished: list[str]
    sent: Counter[str]
    states: dict[str, Counter[str]]
    met: Counter[str]
    #: Of the app alone, while events came.
    requests: Json
    calls: Counter[str]
    seconds: float
    #: Of these, nothing was sent, as there was too much to do.
    paused: float
    #: The most that was to do at once.
    most: int
    resting: float
    #: Of each host, from rest to rest; none where the calm was too short for one.
    growth: list[Growth] = field(default_factory=list)

    @property
    def redeliveries(self) -> int:
        """Calls of functions beyond one for each event."""
        ways = ("blob_uploads", "queue_messages", "topic_messages", "http_api")
        asked = 2 * self.met["triggers paused"]
        return sum(self.calls[way] for way in ways) - self.sent.total() - asked

    def lines(self) -> list[str]:
        """The books, for a person."""
        rate = self.sent.total() / self.seconds
        found = [
            f"sent in {self.seconds:.0f} s     {_listed(self.sent)}; {rate:.1f} a second",
            f"nothing sent for {self.paused:.0f} s of these; {self.most} to do at most",
            f"{'at rest' if not self.unfinished else 'given up'} after {self.resting:.0f} s more",
        ]
        found += [f"runs of {t:<20} {_listed(runs)}" for t, runs in sorted(self.states.items())]
        found += [
            f"met              {_listed(self.met)}",
            f"delivered again  {self.redeliveries}",
            f"calls            {_listed(self.calls)}",
            f"requests         {self.requests['azureml']} to AzureML, "
            f"{_listed(self.requests['storage'])} to storage",
        ]
        found += [f"host {n}           {growth}" for n, growth in enumerate(self.growth, start=1)]
        if self.unfinished:
            found.append("NOT ENOUGH TIME: nothing below is lost, it was still on its way")
        found += [f"UNFINISHED       {line}" for line in self.unfinished]
        found += [f"WRONG            {line}" for line in self.wrong]
        if not self.wrong and not self.unfinished:
            jobs = sum(runs["completed"] for runs in self.states.values())
            found.append(f"every promise kept: {self.sent.total()} events, {jobs} completed runs")
        return found


@dataclass(frozen=True, kw_only=True)
class Weather:
    """How long, how much and how bad."""

    #: seconds with kills, at least
    storm: float
    #: seconds without; memory and open files are looked at now and then, when little is to do,
    #: unless it is short
    calm: float
    #: How often each of these goes wrong before the storm is over, however slow the machine is.
    least: Mapping[str, int] = field(default_factory=dict)
    #: events a second in each stream
    per_second: float
    #: seconds between two of them; None: it does not happen
    kills_every: float | None
    pauses_every: float | None
    faults_every: float | None
    #: Leases are waited for; otherwise records are made older.
    patient: bool
    #: seconds in which nothing changes any more, although not all is at rest
    still: float
    #: seconds after the last event, in all
    rest: float


def storm(
    world: World, weather: Weather, *, seed: int, say: Callable[[str], None] = lambda _: None
) -> Outcome:
    """Let it come down, and look what is left."""
    began = time.monotonic()
    faults = weather.faults_every
    rough = Mishaps(
        world,
        seed,
        kills_every=weather.kills_every,
        pauses_every=weather.pauses_every,
        faults_every=faults,
    )
    # Fewer: whoever meets one waits for its lease, and most are to pass.
    mild = Mishaps(
        world, seed + 1, kills_every=None, pauses_every=None, faults_every=faults and 3 * faults
    )
    watch = _Watch(world, say)
    with Streams(world, seed, per_second=weather.per_second) as streams:
        with rough:
            watch.let_pass(weather.storm, "storm", streams)
            while rough.lacks(weather.least):
                watch.let_pass(1, "storm", streams)
        if weather.calm:
            with mild:
                stretches = int(weather.calm // _STRETCH)
                for _ in range(stretches):
                    watch.let_pass(weather.calm / stretches, "calm", streams)
                    watch.look_at_rest(streams)
                if not stretches:
                    watch.let_pass(weather.calm, "calm", streams)
    growth = [Growth.of(looks) for looks in watch.looks.values()]
    seconds = time.monotonic() - began
    # before the test itself looks at records
    requests = books.requests(world)
    rest = books.come_to_rest(
        world, still=weather.still, most=weather.rest, patient=weather.patient, say=say
    )
    resting = time.monotonic() - began - seconds
    found = Books.of(world)
    found.check(streams.sent, on_their_way=world.on_its_way().total(), at_rest=not rest.left)
    wrong = [*rough.errors, *mild.errors, *streams.errors, *found.wrong, *found.overlaps(LIMITS)]
    wrong += [f"host {n}: {why}" for n, one in enumerate(growth, start=1) for why in one.wrong]
    if not rest.changing:
        wrong += [f"left, and unchanged for {weather.still:g} s: {name}" for name in rest.left]
        wrong += found.unfinished
    return Outcome(
        wrong=wrong,
        unfinished=found.unfinished + rest.left[:10] if rest.changing else [],
        sent=streams.sent,
        states=found.states(),
        met=rough.met + mild.met,
        requests=requests,
        calls=books.calls(world),
        seconds=seconds,
        paused=watch.paused,
        most=watch.most,
        resting=resting,
        growth=growth,
    )


class _Watch:
    """Lets time pass, and looks at what is to do and at what the hosts take."""

    def __init__(self, world: World, say: Callable[[str], None]) -> None:
        self._world = world
        self._say = say
        #: What each host took, with the share of the events that there had been.
        self.looks: dict[int, list[tuple[float, Use]]] = defaultdict(list)
        self.most = 0
        self.paused = 0.0

    def let_pass(self, seconds: float, name: str, streams: Streams) -> None:
        now = told = time.monotonic()
        deadline = now + seconds
        pause = _LOOK
        while (left := deadline - now) > 0:
            time.sleep(min(left, pause))
            looking = time.monotonic()
            to_do = streams.keep_within(_MOST_TO_DO)
            pause = max(_LOOK, _LONGER * (time.monotonic() - looking))
            self.most = max(self.most, to_do)
            before, now = now, time.monotonic()
            if to_do > _MOST_TO_DO:
                self.paused += now - before
            if now - told > 20:
                told = now
                events = streams.sent.total()
                self._say(f"{datetime.now(UTC):%H:%M:%S} {name}: {events} events, {to_do} to do")

    def look_at_rest(self, streams: Streams) -> None:
        """What each host takes when nothing was sent for a while."""
        began = time.monotonic()
        while (to_do := streams.keep_within(-1)) > _LITTLE and time.monotonic() - began < _REST:
            time.sleep(_LOOK)
        share = streams.sent.total() / len(self._world.hosts)
        for _ in range(_LOOKS):
            time.sleep(1)
            for number, host in enumerate(self._world.hosts):
                self.looks[number].append((share, Use.of(host)))
        files = ", ".join(str(looks[-1][1].files) for looks in self.looks.values())
        self._say(f"{datetime.now(UTC):%H:%M:%S} rest: {to_do} to do, open files {files}")


def _listed(counts: Counter[str] | Json) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "nothing"
