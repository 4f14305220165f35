"""One page of a sweep: which uploads on it were lost, and handing those over."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import batched, islice

from shared.dispatcher import Dispatcher, in_turn
from shared.errors import EventInvalid, RecordUnreadable, Transient
from shared.events import Event
from shared.index import IndexedTrigger
from shared.inputs import redacted
from shared.lakes import Lakes, Upload
from shared.ledger import Kept, Ledger, State
from shared.orders import Orders
from shared.paths import PathPattern
from shared.sweep_states import NAMED, Course, Noticed
from shared.triggers import Matcher, Near

log = logging.getLogger(__name__)

#: What is younger is left alone: its event may be on its way, or its writer not done.
SETTLED = timedelta(minutes=5)
#: What should have been taken by a batch so long ago was forgotten.
FORGOTTEN = timedelta(minutes=15)

#: Uploads that are looked at before it is written down how far that went.
_CHUNK = 50
#: Records of a trigger that are listed to find what they are about.
_SUBJECTS = 200_000


class Searches:
    """Looks through pages of uploads; whatever is done twice changes nothing."""

    def __init__(
        self,
        *,
        orders: Orders,
        ledger: Ledger,
        lakes: Lakes,
        dispatcher: Dispatcher,
        variables: Mapping[str, str],
        side_by_side: Callable[[Sequence[Callable[[], None]]], None] = in_turn,
    ) -> None:
        self._orders = orders
        self._ledger = ledger
        self._lakes = lakes
        self._dispatcher = dispatcher
        self._variables = variables
        self._side_by_side = side_by_side

    def seen(self, trigger: str) -> "Seen":
        """What a trigger has records about."""
        return Seen(self._ledger, trigger)

    def unrecorded(self, trigger: str, noticed: Sequence[Noticed]) -> list[Noticed]:
        """Those that still have no record."""
        known: set[str] = set()

        def look(one: Noticed) -> None:
            if self._read(trigger, one.run.rpartition(".")[2]) is not None:
                known.add(one.run)

        self._side_by_side([partial(look, one) for one in noticed])
        return [one for one in noticed if one.run not in known]

    def page(
        self, indexed: IndexedTrigger, course: Course, seen: "Seen", until: Callable[[], bool]
    ) -> tuple[Course, bool]:
        """Look at the rest of a page, or as far as the time goes; whether there is more to do."""
        blob = indexed.definition.spec.blob
        assert blob is not None
        prefix = PathPattern(blob.path).prefix
        page = self._lakes.page(blob.account, blob.container, prefix, course.marker)
        for uploads in batched(_rest(page.uploads, course.after), _CHUNK, strict=False):
            lost = self._lost(indexed, course, uploads)
            started = course.counts.found
            for upload in uploads:
                course = self._take(indexed, course, upload, lost.get(upload.path), seen)
                course = course.model_copy(update={"after": upload.path})
                # At least one is started, however little time there is.
                if course.counts.found > started and until():
                    return course, True
            if course.counts.found > started:
                # What was started is written down before more is.
                return course, True
        onwards = course.model_copy(update={"marker": page.marker, "after": None})
        return onwards, page.marker is not None

    def _lost(
        self, indexed: IndexedTrigger, course: Course, uploads: Sequence[Upload]
    ) -> dict[str, "_Fitting | EventInvalid"]:
        """The uploads that are to be looked at, by path, and whether they are recorded."""
        fitting: dict[str, _Fitting | EventInvalid] = {}
        matcher = Matcher({indexed.definition.name: indexed}, self._variables)
        for upload in uploads:
            if not course.since <= upload.last_modified <= course.began - SETTLED:
                continue
            event = upload.event()
            try:
                verdict = matcher.judge(indexed, event)
            except EventInvalid as error:
                fitting[upload.path] = error
                continue
            if not isinstance(verdict, Near):
                key = self._orders.key(indexed.definition, event)
                fitting[upload.path] = _Fitting(event, key)
        self._side_by_side(
            [
                partial(self._look_up, indexed.definition.name, one)
                for one in fitting.values()
                if isinstance(one, _Fitting)
            ]
        )
        return fitting

    def _look_up(self, trigger: str, one: "_Fitting") -> None:
        kept = self._read(trigger, one.key)
        one.recorded = kept is not None
        if isinstance(kept, Kept) and kept.record.state is State.WAITING_BATCH:
            member = kept.record.member
            # Its batch should have been made: its marker may be lost, and is put there again.
            until = member.until if member else None
            one.forgotten = until is not None and kept.at > until + FORGOTTEN

    def _read(self, trigger: str, key: str) -> Kept | RecordUnreadable | None:
        try:
            return self._ledger.read(trigger, key)
        except RecordUnreadable as error:
            return error

    def _take(
        self,
        indexed: IndexedTrigger,
        course: Course,
        upload: Upload,
        one: "_Fitting | EventInvalid | None",
        seen: "Seen",
    ) -> Course:
        course = course.counted(listed=1)
        if one is None:
            young = upload.last_modified > course.began - SETTLED
            return course.counted(young=1) if young else course
        if isinstance(one, EventInvalid):
            return course.counted(unnameable=1)
        course = course.counted(looked_at=1)
        if one.forgotten and not course.dry_run:
            self._started(indexed, one.event, course.began)
        if one.recorded:
            return course.counted(known=1)
        noticed = Noticed(
            path=redacted(upload.path),
            etag=upload.etag,
            size=upload.size,
            last_modified=upload.last_modified,
            at=course.began,
            run=f"{indexed.definition.name}.{one.key}",
        )
        before = upload.created is not None and upload.created < course.horizon
        if not course.overwritten and (before or one.event.about in seen):
            course = course.counted(overwritten=1)
            named = (*course.changed, noticed)[:NAMED]
            return course.model_copy(update={"changed": named})
        if not (course.dry_run or self._started(indexed, one.event, course.began)):
            return course.counted(failed=1)
        course = course.counted(found=1)
        return course.model_copy(update={"found": (*course.found, noticed)[:NAMED]})

    def _started(self, indexed: IndexedTrigger, event: Event, at: datetime) -> bool:
        """Hand over the event that should have come; False for one that can never be taken."""
        told = event.model_copy(update={"sweptat": at.isoformat()})
        name = indexed.definition.name
        try:
            self._dispatcher.handle(told, only=name)
        except Transient:
            raise
        except Exception:
            about = {"action": "sweep_item_failed", "trigger": name}
            log.exception("%s could not be handed over", redacted(event.title), extra=about)
            return False
        return True


@dataclass
class _Fitting:
    """An upload that a trigger takes."""

    event: Event
    key: str
    #: It has its record.
    recorded: bool = False
    #: It waits for a batch that does not know of it.
    forgotten: bool = False


class Seen:
    """What a trigger has records about: listed when it is first asked."""

    def __init__(self, ledger: Ledger, trigger: str) -> None:
        self._ledger = ledger
        self._trigger = trigger
        self._subjects: frozenset[str] | None = None

    def __contains__(self, about: str) -> bool:
        if self._subjects is None:
            self._subjects = frozenset(islice(self._ledger.subjects(self._trigger), _SUBJECTS))
        return about in self._subjects


def _rest(uploads: Sequence[Upload], after: str | None) -> Sequence[Upload]:
    """Those behind a path; all of them when that is not there any more."""
    for number, upload in enumerate(uploads):
        if upload.path == after:
            return uploads[number + 1 :]
    return uploads
