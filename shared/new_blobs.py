"""The uploads that a schedule waits for: those since the last run of it that completed.

A list is of the uploads from where the lists of completed runs ended until the scheduled time. How
far that is, and which runs were given lists since, is `new_blobs/{trigger}.json`: a run is noted
there before it has its record, and what became of it is read from that when it ends, or later. So
whoever dies anywhere has at most listed some uploads once more, and lost none.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from shared import manifests
from shared.blob_state import BlobState
from shared.errors import EventInvalid, RecordUnreadable, RequestInvalid, StorageUnavailable, places
from shared.events import SCHEDULE
from shared.index import IndexedTrigger
from shared.inputs import redacted
from shared.lakes import Lakes, Upload
from shared.ledger import ABSENT, Ledger, Reason, State
from shared.manifests import Manifests
from shared.orders import Order, listed_in
from shared.paths import PathPattern
from shared.specs import NewBlobs as Wanted

log = logging.getLogger(__name__)

SCHEMA = 1

#: Uploads that one run is given; the oldest, and the next run goes on with the others.
MOST = 10_000

#: Seconds that one list may take, and pages of it beyond which nobody looks.
_SECONDS, _PAGES = 10.0, 500

#: How often the note is tried that others keep changing.
_TRIES = 20


class _Stored(BaseModel):
    """Fields that a newer version wrote survive our writes."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)


class Progress(_Stored):
    """How far the uploads of one schedule were worked through."""

    schema_version: int = Field(default=SCHEMA, alias="schema")
    #: Uploads of that time and later are new; None: since the trigger was first published.
    since: AwareDatetime | None = None
    #: Runs that were given lists and are not known to be over: key -> since when, storage time.
    runs: dict[str, AwareDatetime] = Field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Found:
    """New uploads, oldest first, and until when they are all."""

    uploads: list[Upload]
    until: datetime


class NewBlobs:
    """Gives orders of schedules their lists of uploads. All raise StorageUnavailable."""

    def __init__(
        self,
        *,
        blobs: BlobState,
        ledger: Ledger,
        lakes: Lakes,
        manifests: Manifests,
        monotonic: Callable[[], float],
        most: int = MOST,
    ) -> None:
        self._blobs = blobs
        self._ledger = ledger
        self._lakes = lakes
        self._manifests = manifests
        self._monotonic = monotonic
        self._most = most

    def given(self, order: Order, indexed: IndexedTrigger) -> Order:
        """An order with its list, or with why it starts nothing; as it is, if it asks for none.

        Raises NotFound, RequestInvalid, RecordUnreadable, WorkspaceUnavailable.
        """
        schedule = indexed.definition.spec.schedule
        if not order.event.via.startswith(SCHEDULE) or schedule is None or not schedule.only_if:
            return order
        if "manifest" in order.event.data:
            # A run once more is given the same list.
            self._note(order)
            return order
        wanted, scheduled = schedule.only_if.new_blobs, order.event.time
        if order.replay is not None:
            # Of a backfill each run has what came in its own time.
            since = datetime.fromisoformat(order.event.data["window_start"])
        else:
            since, under_way = self._since(indexed)
            # Who comes again may have noted itself before it died.
            if under_way - {order.key} and _one_at_a_time(order):
                text = "A run that was given the uploads before is under way."
                return _instead(order, State.SKIPPED, Reason(code="overlap_skipped", text=text))
        found = self._found(wanted, since, scheduled)
        if found is None:
            text = (
                f"There are more uploads below {PathPattern(wanted.path).prefix or 'the container'}"
                " than can be looked through in time; let spec.schedule.only_if.new_blobs.path "
                "begin with a narrower folder."
            )
            reason = Reason(code="too_many_blobs", text=redacted(text))
            return _instead(order, State.DEAD_LETTER, reason)
        if not found.uploads:
            text = f"No upload of {wanted.path} came from {since:%Y-%m-%d %H:%M:%S} UTC on."
            reason = Reason(code="no_new_blobs", text=redacted(text))
            return _instead(order, State.SKIPPED, reason)
        return self._listed(order, wanted, since, found)

    def ended(self, indexed: IndexedTrigger | None) -> None:
        """Note what the runs of a trigger have worked through that ended: schedules may come less
        often than records are kept."""
        schedule = indexed.definition.spec.schedule if indexed else None
        if indexed is None or schedule is None or schedule.only_if is None:
            return
        try:
            self._since(indexed)
        except RecordUnreadable as error:
            # No run stays unfinished for that; the next time of the schedule tells it.
            log.warning("%s", error)

    def _listed(self, order: Order, wanted: Wanted, since: datetime, found: _Found) -> Order:
        pattern, lines = PathPattern(wanted.path), dict[str, str]()
        for upload in found.uploads:
            event = upload.event()
            lines[f"{upload.path} {upload.etag}"] = manifests.line(
                event, pattern.match(upload.path) or {}
            )
        # Named by what is in it: whoever finds something else writes elsewhere.
        address = self._manifests.write(order.trigger, order.key, lines)
        made = listed_in(order, address, since=since, until=found.until, blobs=len(lines))
        self._note(made)
        return made

    def _found(self, wanted: Wanted, since: datetime, until: datetime) -> _Found | None:
        """New uploads; None when it takes too long to find them."""
        account = wanted.account or self._manifests.account()
        pattern, began = PathPattern(wanted.path), self._monotonic()
        uploads: list[Upload] = []
        marker: str | None = None
        for _ in range(_PAGES):
            page = self._lakes.page(account, wanted.container, pattern.prefix, marker)
            if page.at < until:
                # By its clock, more may still come that is older.
                raise StorageUnavailable(f"The clock of storage account {account} is behind")
            uploads += [each for each in page.uploads if _is_new(each, pattern, since, until)]
            marker = page.marker
            if marker is None:
                break
            if self._monotonic() - began > _SECONDS:
                return None
        else:
            return None
        uploads.sort(key=lambda each: (each.last_modified, each.path))
        if len(uploads) <= self._most:
            return _Found(uploads=uploads, until=until)
        # What was written in one second stays together.
        cut = max(uploads[self._most].last_modified, since + timedelta(seconds=1))
        return _Found(uploads=[each for each in uploads if each.last_modified < cut], until=cut)

    def _since(self, indexed: IndexedTrigger) -> tuple[datetime, set[str]]:
        """Where completed runs ended, and those with a list that are under way."""
        trigger = indexed.definition.name
        for _ in range(_TRIES):
            progress, etag, at = self._read(trigger)
            now = self._settled(trigger, progress, at, indexed.effective_from)
            if now == progress or self._write(trigger, now, etag):
                return now.since or indexed.effective_from, {*now.runs}
        raise StorageUnavailable(f"What {trigger} has worked through kept changing")

    def _settled(
        self, trigger: str, progress: Progress, at: datetime | None, first: datetime
    ) -> Progress:
        """With what has ended counted, and without it; `first` is when it was first published."""
        ends, left = list[tuple[datetime, datetime]](), dict[str, datetime]()
        for key, noted in progress.runs.items():
            try:
                kept = self._ledger.read(trigger, key)
            except RecordUnreadable as error:
                log.warning("%s It is taken for one that did not complete.", error)
                continue
            if kept is None and at is not None and at - noted > ABSENT:
                continue
            if kept is None or not kept.record.state.final:
                left[key] = noted
            elif kept.record.state is State.COMPLETED:
                told = kept.record.event.data["new_blobs"]
                ends.append(
                    (datetime.fromisoformat(told["since"]), datetime.fromisoformat(told["until"]))
                )
        since = max(progress.since or first, first)
        for begin, end in sorted(ends):
            # A list that does not begin where others ended leaves some out.
            since = end if begin <= since < end else since
        return progress.model_copy(update={"since": since, "runs": left})

    def _note(self, order: Order) -> None:
        """Have a run be asked, later, how it ended; before it has its record."""
        for _ in range(_TRIES):
            progress, etag, at = self._read(order.trigger)
            if order.key in progress.runs:
                return
            runs = progress.runs | {order.key: at or order.event.time}
            if self._write(order.trigger, progress.model_copy(update={"runs": runs}), etag):
                return
        raise StorageUnavailable(f"What {order.trigger} has worked through kept changing")

    def _read(self, trigger: str) -> tuple[Progress, str | None, datetime | None]:
        blob = self._blobs.get(_name(trigger))
        if blob is None:
            return Progress(), None, None
        try:
            return Progress.model_validate_json(blob.data), blob.etag, blob.at
        except ValidationError as error:
            raise RecordUnreadable(
                f"How far trigger {trigger} has worked through its uploads cannot be read: "
                f"{places(error)}. Delete {_name(trigger)}, and it begins with those since the "
                "trigger was first published."
            ) from None

    def _write(self, trigger: str, progress: Progress, etag: str | None) -> bool:
        data = progress.model_dump_json(by_alias=True).encode()
        if etag is None:
            return self._blobs.create(_name(trigger), data) is not None
        return self._blobs.swap(_name(trigger), data, etag=etag) is not None


def _is_new(upload: Upload, pattern: PathPattern, since: datetime, until: datetime) -> bool:
    if not since <= upload.last_modified < until or pattern.match(upload.path) is None:
        return False
    try:
        return upload.event().blob is not None
    except (EventInvalid, RequestInvalid):
        # No job could read what has such a name.
        log.warning("An upload that no event may name is left out of a list")
        return False


def _one_at_a_time(order: Order) -> bool:
    policies = order.policies
    return (
        order.own_slot is None
        and policies is not None
        and policies.overlap == "skip"
        and policies.concurrency.limit == 1
        and policies.concurrency.key is None
    )


def _instead(order: Order, state: State, reason: Reason) -> Order:
    return replace(order, instead=(state, reason))


def _name(trigger: str) -> str:
    return f"new_blobs/{trigger}.json"
