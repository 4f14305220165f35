"""Rules of batches left out: each is a bug that the simulation must find.

See docs/decisions/0014-a-batch-is-its-record.md.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from shared import manifests
from shared.batches import Batches
from shared.dispatcher import Dispatcher
from shared.inbox import Inbox, KeptNumber
from shared.index import Reading
from shared.ledger import Kept, Record, State, batch_key
from shared.manifests import Manifests
from shared.openings import Binding, first_in
from shared.orders import Order
from shared.places import overlap_skipped
from shared.releases import Waiting
from shared.turns import Turns
from tests.simulation.batch_scenario import COMPLETE
from tests.simulation.trap import FAIR, Trap
from tests.simulation.workers import Parts


class BirthIsNotInTheKey(Batches):
    """The birth of a group is not in its batches' keys (F10): one that was deleted and comes back
    meets those that it had."""

    def _key(self, group: str, number: KeptNumber) -> str:
        return batch_key(self._deployment, group, "", number.numbered.seq)


class AnyBirth(str):
    """Whoever began the group, it is as if we had."""

    __slots__ = ()

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = str.__hash__


class AnyNumber(int):
    """However far the group is, it is as if it had just begun."""

    def __bool__(self) -> bool:
        return False


class BirthIsNotCompared(Inbox):
    """Who begins a group does not ask whether another was faster."""

    def begin(self, trigger: str, group: str, values: Mapping[str, str], birth: str) -> KeptNumber:
        kept = super().begin(trigger, group, values, birth)
        anybody = {"birth": AnyBirth(kept.numbered.birth)}
        return replace(kept, numbered=kept.numbered.model_copy(update=anybody))


class NumberIsNotCompared(Inbox):
    """Who begins a group takes whatever number it has by then: what was read before may be in a
    batch."""

    def begin(self, trigger: str, group: str, values: Mapping[str, str], birth: str) -> KeptNumber:
        kept = super().begin(trigger, group, values, birth)
        numbered = kept.numbered
        any = {"birth": AnyBirth(numbered.birth), "seq": AnyNumber(numbered.seq)}
        return replace(kept, numbered=numbered.model_copy(update=any))


class StampedAsListed(Batches):
    """Events are told of a batch as its maker listed them, not as its record does."""

    def _conclude(
        self, batch: Record, group: str, number: KeptNumber, known: Mapping[str, Kept], began: float
    ) -> bool:
        listed = tuple(known) or batch.members
        batch = batch.model_copy(update={"members": listed})
        return super()._conclude(batch, group, number, known, began)


class DismissedStaysSo(Batches):
    """What was told that it completes nothing is not told of the batch that has it."""

    def _stamp(self, batch: Record, key: str, _known: Kept | None) -> None:
        kept = self._readable(batch.trigger, key)
        if kept is not None and kept.record.state is State.WAITING_BATCH:
            super()._stamp(batch, key, kept)


class CountedFirst(Batches):
    """A group's number is counted on before its members are told: a crash in between leaves them to
    the next batch as well."""

    def _conclude(self, batch: Record, group: str, number: KeptNumber, *given: Any) -> bool:
        self._inbox.count(batch.trigger, group, number)
        return super()._conclude(batch, group, number, *given)


class MembersAreNotReadAgain(Batches):
    """What has a marker is taken, without a look whether a batch has it."""

    def _read(
        self, trigger: str, waiting: Sequence[Waiting], found: Any
    ) -> Iterator[tuple[str, Kept]]:
        for one in waiting:
            if kept := self._ledger.read(trigger, one.key):
                found.waiting.append(one)
                yield one.key, kept


class MarkersGoFirst(Batches):
    """Markers are deleted before the members are told: a crash in between, and no tick finds the
    group."""

    def _conclude(self, batch: Record, group: str, number: KeptNumber, *given: Any) -> bool:
        self._inbox.forget(batch.trigger, group, batch.members)
        return super()._conclude(batch, group, number, *given)


class MarkersArePutAgain(Inbox):
    """A marker is put by whoever comes again, with another time: what is delivered often waits for
    ever."""

    def put(self, trigger: str, group: str, key: str, *, about: str, releases: bool) -> None:
        hints = {"about": about} | ({"releases": "true"} if releases else {})
        self._blobs.put(f"inbox/{trigger}/{group}/{key}", metadata=hints)


class GroupsAreDeleted(Inbox):
    """A group's number is deleted when its batch is made (F10)."""

    def count(self, trigger: str, group: str, kept: KeptNumber) -> bool:
        counted = super().count(trigger, group, kept)
        self._blobs.delete(f"groups/{trigger}/{group}.json")
        return counted


class SealedIsDropped(Dispatcher):
    """A batch that cannot begin at once is dropped, its members with it."""

    def _in_turn(self, record: Record, order: Order, binding: Binding, at: datetime) -> Record:
        first = super()._in_turn(record, order, binding, at)
        if record.members and first.state is State.QUEUED:
            return first_in(record, State.SKIPPED, at, overlap_skipped("Others run."))
        return first


class OpenMarkerIsNotPutBack(Batches):
    """Who finds a batch that another made does not see to it that the tick looks for its run."""

    def _made(self, trigger: str, group: str, number: KeptNumber) -> Record | None:
        kept = self._ledger.read(trigger, self._key(group, number))
        return kept.record if kept else None


class SkippedInTheEnd(Turns):
    """A batch that waited for its compute is skipped, as its trigger skips what overlaps by now."""

    def skips(self, record: Record) -> bool:
        return super().skips(record.model_copy(update={"members": ()}))


class DueByName(Batches):
    """Groups are served by name, not the longest overdue first (F9)."""

    def _due(self, reading: Reading) -> list[tuple[str, str]]:
        return sorted(super()._due(reading))


class LeftOverIsForgotten(Batches):
    """What waits for a trigger that has no batches any more is nobody's."""

    def _due(self, reading: Reading) -> list[tuple[str, str]]:
        triggers = reading.snapshot.triggers
        return [
            (trigger, group)
            for trigger, group in super()._due(reading)
            if trigger in triggers and triggers[trigger].definition.policies.batch
        ]


class ComesAgainWithoutBatches(Dispatcher):
    """An event that comes again when its trigger has no batches is answered as known: nobody looks
    whether it ever got its marker."""

    def rejoin(self, record: Record) -> None:
        self._ledger.close(record.trigger, record.key)


class ManifestOfTheNumber(Manifests):
    """A manifest is named by its batch alone: the job reads what another maker listed."""

    def write(self, trigger: str, batch: str, lines: Mapping[str, str]) -> str:
        path = manifests.address(self._deployment, trigger, batch, [])
        store = self._workspace.datastore(manifests.DATASTORE)
        content = "".join(f"{line}\n" for line in lines.values())
        self._lakes.keep(store.account, store.container, path, content.encode())
        return f"azureml://datastores/{manifests.DATASTORE}/paths/{path}"


class MadeWhileOneRuns(Batches):
    """Nobody asks whether a batch before it is under way, where the next is to take everything."""

    def _busy(self, *_given: Any) -> bool:
        return False


def _batches(*, slow: str | None = None, **given: Any) -> dict[str, Any]:
    """Many uploads of one group for a trigger whose batches are due soon."""
    batch = {
        "group_by": [],
        "wait_after_last_change": "PT0S",
        "max_wait": "PT1M",
        "release_on": None,
        **given.pop("batch", {}),
    }
    return {
        "uploads": 8,
        "steps": 500,
        "slow": slow,
        "late_compute": False,
        "republish": 0,
        "crowd": False,
        "deleted_groups": False,
        "overlap": "buffer_all",
        "policies": {"max_runs_per_day": "unlimited"},
        "batch": batch,
        **given,
    }


_QUICK = replace(FAIR, progress=0.6, leap=0.01)
_CRASHES = replace(_QUICK, crash=0.05)
_DEADLY = replace(_QUICK, crash=0.15)


def _trap(parts: Parts, odds: Any = _QUICK, **given: Any) -> Trap:
    return Trap(parts, odds, _batches(**given), kind="batches")


BATCH_TRAPS: dict[str, Trap] = {
    "number is not compared": _trap(Parts(inbox=NumberIsNotCompared), slow="create groups/"),
    "stamped as listed": _trap(Parts(batches=StampedAsListed), slow="get ledger/"),
    "dismissed stays so": _trap(
        Parts(batches=DismissedStaysSo),
        slow="swap ledger/",
        batch={
            "release_on": {"suffix": {"subject": f"/{COMPLETE}"}},
            "wait_after_last_change": "PT1M",
        },
    ),
    "counted first": _trap(Parts(batches=CountedFirst), _DEADLY, slow="swap ledger/"),
    "members are not read again": _trap(
        Parts(batches=MembersAreNotReadAgain), slow="create inbox/"
    ),
    "markers go first": _trap(
        Parts(batches=MarkersGoFirst),
        replace(_QUICK, crash=0.04),
        slow="swap ledger/",
        once=True,
        steps=1200,
        batch={"group_by": ["site"], "max_wait": "PT0S"},
    ),
    "markers are put again": _trap(
        Parts(inbox=MarkersArePutAgain),
        crowd=True,
        uploads=2,
        steps=20,
        batch={"wait_after_last_change": "PT2M", "max_wait": "PT3M", "max_events": 5_000},
    ),
    "F10 groups are deleted": _trap(Parts(inbox=GroupsAreDeleted)),
    "a sealed batch is dropped": _trap(
        Parts(dispatcher=SealedIsDropped),
        policies={"concurrency": {"limit": 1}, "max_runs_per_day": "unlimited"},
        batch={"max_events": 1},
    ),
    "skipped in the end": _trap(
        Parts(turns=SkippedInTheEnd),
        replace(FAIR, progress=0.1),
        late_compute=True,
        anew=0.01,
        changes=("batch", "overlap"),
        policies={"concurrency": {"limit": 1}, "max_runs_per_day": "unlimited"},
        batch={"max_wait": "PT0S", "max_events": 1},
    ),
    "F9 due by name": _trap(
        Parts(batches=DueByName),
        crowd=True,
        uploads=4,
        steps=20,
        batch={"group_by": ["site"], "max_events": 2},
    ),
    "left over is forgotten": _trap(Parts(batches=LeftOverIsForgotten), republish=0.02),
    "comes again without batches": _trap(
        Parts(dispatcher=ComesAgainWithoutBatches), _CRASHES, republish=0.02, slow="create inbox/"
    ),
    "manifest of the number": _trap(
        Parts(manifests=ManifestOfTheNumber),
        _CRASHES,
        slow="put open/",
        uploads=20,
        steps=900,
        batch={"max_wait": "PT0S"},
    ),
    "made while one runs": _trap(
        Parts(batches=MadeWhileOneRuns),
        replace(FAIR, progress=0.1),
        overlap="buffer_one",
        policies={"concurrency": {"limit": 1}, "max_runs_per_day": "unlimited"},
        batch={"max_events": 1},
    ),
}

#: What looks like a trap and is none: another rule makes up for it.
HARMLESS_OF_BATCHES: dict[str, Trap] = {
    # A number that another birth used meets its batch, which is counted on.
    "F10 birth is not in the key": _trap(Parts(batches=BirthIsNotInTheKey), deleted_groups=True),
    # While the number is 0 nobody has told any member.
    "birth is not compared": _trap(Parts(inbox=BirthIsNotCompared), slow="create groups/"),
    # A marker without a record is left alone for longer than any call may last.
    "open marker is not put back": _trap(Parts(batches=OpenMarkerIsNotPutBack), _CRASHES),
}
