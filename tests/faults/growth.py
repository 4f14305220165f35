"""Whether hosts take more and more: memory and open files, while events come."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from emulator.stack import FunctionsHost

#: With fewer events between the beginning and the end, nothing can be said: what is loaded on first
#: use, and how many are at work at the moment, weigh more.
ENOUGH = 500
#: What a host may take more for each thousand events: 8 KB that it keeps of each would be too much.
MEGABYTES, FILES = 8.0, 8.0


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
        return cls(megabytes=int(line.split()[1]) / 1024, files=len([*(process / "fd").iterdir()]))


@dataclass(frozen=True, kw_only=True)
class Growth:
    """From the first fifth of the looks at a host to the last fifth."""

    before: Use
    after: Use
    #: That it took between them, as a share of all.
    events: float

    @classmethod
    def of(cls, looks: Sequence[tuple[float, Use]]) -> "Growth":
        """Of looks at a host, with how many events there had been; medians, as it varies."""
        some = max(1, len(looks) // 5)
        begin, end = looks[:some], looks[-some:]
        return cls(
            before=_middle([use for _, use in begin]),
            after=_middle([use for _, use in end]),
            events=median(n for n, _ in end) - median(n for n, _ in begin),
        )

    @property
    def enough(self) -> bool:
        return self.events >= ENOUGH

    @property
    def wrong(self) -> list[str]:
        """What grows too fast; nothing while there were not enough events to say."""
        if not self.enough:
            return []
        thousands = self.events / 1000
        megabytes = (self.after.megabytes - self.before.megabytes) / thousands
        files = (self.after.files - self.before.files) / thousands
        found = []
        if megabytes > MEGABYTES:
            found.append(f"{megabytes:.1f} MB more for each thousand events")
        if files > FILES:
            found.append(f"{files:.1f} open files more for each thousand events")
        return found

    def __str__(self) -> str:
        told = (
            f"{self.before.megabytes:.1f} -> {self.after.megabytes:.1f} MB, "
            f"{self.before.files} -> {self.after.files} files in {self.events:.0f} events"
        )
        return told if self.enough else f"{told}; fewer than {ENOUGH}, which says nothing"


def _middle(uses: Sequence[Use]) -> Use:
    return Use(
        megabytes=median(use.megabytes for use in uses),
        files=round(median(use.files for use in uses)),
    )
