"""What became of an upload: from the blob, the triggers it might be for, and what was recorded."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

from shared import answers, events, wording
from shared.answers import Told
from shared.errors import RecordUnreadable, SignalboxError
from shared.events import BLOB_CREATED, BlobPlace, Event
from shared.history import NO_MATCH
from shared.index import Index, IndexedTrigger
from shared.lakes import Lakes, Upload
from shared.ledger import Ledger, Reason, Record
from shared.members import Members
from shared.orders import Orders
from shared.questions import Explanation, Item, blob_place
from shared.summaries import shown, stamp
from shared.traces import Trace, Traces
from shared.triggers import Match, Matcher, Near

#: An event that is not here so long after its upload will hardly come.
_ON_ITS_WAY = timedelta(minutes=5)
#: How long records are kept unless the lifecycle rules of the state account were changed.
_KEPT = timedelta(days=30)

_NOT_COVERED = "no_subscription_covers_this"
_OVERWRITTEN = "overwritten"
_NOTHING = "nothing_recorded"
_BROKEN = "record_unreadable"

_THREADS = 16


class Uploads:
    """Answers what became of an upload. Changes nothing."""

    def __init__(
        self,
        *,
        index: Index,
        orders: Orders,
        ledger: Ledger,
        traces: Traces,
        members: Members,
        lakes: Lakes,
        variables: Mapping[str, str],
    ) -> None:
        self._index = index
        self._orders = orders
        self._ledger = ledger
        self._traces = traces
        self._members = members
        self._lakes = lakes
        self._variables = variables

    def explain(self, text: str) -> Explanation:
        """Of a blob's https address or account/container/path.

        Only containers that a trigger waits for are looked at. Raises RequestInvalid,
        StorageUnavailable for the state alone.
        """
        place = blob_place(text)
        reading = self._index.read()
        triggers = reading.snapshot.triggers
        concerned = [trigger for _, trigger in sorted(triggers.items()) if _is_for(trigger, place)]
        question = f"What became of the upload of {_name(place)}?"
        if not concerned:
            return _nobody_waits(question, place, triggers)
        upload, lines = self._look(place)
        traces = self._traces.about(
            [trigger.definition.name for trigger in concerned],
            events.about(events.blob_subject(place.container, place.path)),
            upload.last_modified if upload else None,
        )

        def told(trigger: IndexedTrigger, trace: Trace) -> tuple[Told, Told]:
            if upload is None:
                return self._without(trigger, place, trace, reading.at)
            return self._with(trigger, upload, trace, reading.at)

        with ThreadPoolExecutor(_THREADS) as pool:
            both = list(pool.map(told, concerned, traces))
        now, before = Told(), Told()
        for one, earlier in both:
            now.join(one)
            before.join(earlier)
        lines += now.lines + before.lines + answers.cut(traces)
        if others := len(triggers) - len(concerned):
            verb = "waits" if others == 1 else "wait"
            lines.append(f"{answers.count(others, 'other trigger')} {verb} for something else.")
        return Explanation(
            question=question,
            summary=_summary(now, before, there=upload is not None),
            lines=lines,
            items=now.items + before.items,
        )

    def _look(self, place: BlobPlace) -> tuple[Upload | None, list[str]]:
        """The blob itself, and a sentence about it."""
        try:
            upload = self._lakes.find(place.account, place.container, place.path)
        except SignalboxError as error:
            why = wording.sentence(str(error))
            return None, [
                f"The blob itself could not be looked at: {why}. What follows is what was recorded."
            ]
        if upload is None:
            return None, ["There is no such blob now."]
        size = answers.count(upload.size, "byte")
        return upload, [f"The blob is there: {size}, written {stamp(upload.last_modified)}."]

    def _with(
        self, trigger: IndexedTrigger, upload: Upload, trace: Trace, now: datetime
    ) -> tuple[Told, Told]:
        """What a trigger made of the content that is there, and of what was there before."""
        told, name = Told(), trigger.definition.name
        event = _as_sent(upload.event(), trigger)
        key = self._orders.key(trigger.definition, event)
        verdict = self._judge(trigger, event)
        said_no = [item for item in trace.decided if (item.key, item.decision) == (key, NO_MATCH)]
        try:
            record = self._read(name, key)
        except RecordUnreadable as error:
            told.add(_sentence(wording.sentence(str(error))), Item(trigger=name, decision=_BROKEN))
            return told, Told()
        if record is not None:
            line, item = answers.of_joined(self._members.joined(record), "it")
            swept = wording.sweeping(record.event)
            line = f"{line}; {swept}" if swept else line
            told.add(_sentence(line), item.model_copy(update={"passed": list(verdict.passed)}))
        elif said_no:
            item = answers.of_decision(said_no[0], verdict.passed)
            line = _sentence(answers.of_decided(said_no[0], "it"))
            if isinstance(verdict, Match):
                line += " As it is published now it would say yes; upload it again."
            told.add(line, item)
        elif isinstance(verdict, Match):
            reason = self._unheard(trigger, upload, event, trace, now)
            told.add(
                reason.text,
                Item(
                    trigger=name,
                    decision=reason.code,
                    passed=list(verdict.passed),
                    reason=reason,
                ),
            )
        else:
            _refuse(told, verdict)
        before = replace(
            trace,
            decided=[item for item in trace.decided if item.key != key],
            open=[record for record in trace.open if record.key != key],
        )
        earlier = answers.of_trace(before, "other content of that path")
        earlier.join(self._in_batches(trigger, event.about, key, "other content of that path"))
        return told, earlier

    def _without(
        self, trigger: IndexedTrigger, place: BlobPlace, trace: Trace, now: datetime
    ) -> tuple[Told, Told]:
        """What a trigger made of a blob that is not there, or may not be looked at."""
        before = answers.of_trace(trace, "an upload of that path")
        told, name = Told(), trigger.definition.name
        about = events.about(events.blob_subject(place.container, place.path))
        before.join(self._in_batches(trigger, about, "", "an upload of that path"))
        if before.items:
            return told, before
        stand_in = Upload(**place.model_dump(), etag="none", size=0, last_modified=now)
        verdict = self._judge(trigger, _as_sent(stand_in.event(), trigger))
        # What else a trigger asks depends on the content.
        if isinstance(verdict, Near) and verdict.check.startswith(("path ", "subject ")):
            _refuse(told, verdict)
        else:
            line = f"Its path is one for trigger {name}, but nothing is recorded of such an upload."
            told.add(line, Item(trigger=name, decision=_NOTHING))
        return told, before

    def _unheard(
        self, trigger: IndexedTrigger, upload: Upload, event: Event, trace: Trace, now: datetime
    ) -> Reason:
        """Why a blob that fits is not recorded."""
        name = trigger.definition.name
        seen = bool(trace.open) or any(item.decision != NO_MATCH for item in trace.decided)
        before = upload.created is not None and upload.created < trigger.effective_from
        if now - upload.last_modified < _ON_ITS_WAY or not (
            seen or before or self._in_batches(trigger, event.about, "", "").items
        ):
            return _not_covered(trigger, upload, now)
        text = (
            f"It fits trigger {name}, and was changed at {stamp(upload.last_modified)}, but no "
            "event told of that. There was a blob of that path before, so it may be new content or "
            "only a new property, and is not started by itself. Upload it again, or start it by "
            f"`signalbox triggers sweep {name} --overwritten`."
        )
        return Reason(code=_OVERWRITTEN, text=text)

    def _in_batches(self, trigger: IndexedTrigger, about: str, key: str, what: str) -> Told:
        """What batches have of it, but for one of that key."""
        told = Told()
        if trigger.definition.policies.batch is not None:
            for joined in self._members.about(trigger.definition.name, about):
                if joined.member.key != key:
                    line, item = answers.of_joined(joined, what)
                    told.add(f"{stamp(joined.member.transitions[0].at)}: {line}.", item)
        return told

    def _judge(self, trigger: IndexedTrigger, event: Event) -> Match | Near:
        name = trigger.definition.name
        return Matcher({name: trigger}, self._variables).judge(trigger, event)

    def _read(self, trigger: str, key: str) -> Record | None:
        kept = self._ledger.read(trigger, key)
        return kept.record if kept else None


def _is_for(trigger: IndexedTrigger, place: BlobPlace) -> bool:
    spec = trigger.definition.spec
    if spec.event:
        return spec.event.type == BLOB_CREATED
    return spec.blob is not None and (spec.blob.account, spec.blob.container) == (
        place.account,
        place.container,
    )


def _as_sent(event: Event, trigger: IndexedTrigger) -> Event:
    """The event with the source that Event Grid gives it, where the trigger knows that."""
    spec = trigger.definition.spec
    source = spec.event.source if spec.event else None
    account = event.source.rpartition("/")[2]
    if source is None or not source.endswith(f"/storageAccounts/{account}"):
        return event
    return event.model_copy(update={"source": source})


def _refuse(told: Told, verdict: Near) -> None:
    name, passed = verdict.trigger.name, list(verdict.passed)
    told.add(
        f"Trigger {name} is not for it: {wording.refusal(verdict.check)}.",
        Item(trigger=name, decision=NO_MATCH, passed=passed, check=verdict.check),
    )


def _nobody_waits(
    question: str, place: BlobPlace, triggers: Mapping[str, IndexedTrigger]
) -> Explanation:
    blobs = [trigger.definition.spec.blob for trigger in triggers.values()]
    places = sorted({f"{blob.account}/{blob.container}" for blob in blobs if blob})
    here = shown(f"{place.account}/{place.container}")
    more = f" and {answers.count(len(places) - 20, 'other place')}" if len(places) > 20 else ""
    return Explanation(
        question=question,
        summary=f"No trigger waits for uploads to {here}, so it started nothing.",
        lines=[
            f"No trigger waits for uploads to {here}; such uploads leave no record.",
            f"Triggers wait for uploads to: {', '.join(places[:20]) or 'nothing at all'}{more}.",
        ],
        items=[Item(trigger=None, decision="no_candidate")],
    )


def _not_covered(indexed: IndexedTrigger, upload: Upload, now: datetime) -> Reason:
    """Why a blob that fits has left nothing."""
    trigger, sweep = indexed.definition.name, indexed.definition.sweep
    age = now - upload.last_modified
    place = f"{upload.account}/{upload.container}"
    if age < _ON_ITS_WAY:
        seconds = answers.count(max(int(age.total_seconds()), 0), "second")
        text = (
            f"It fits trigger {trigger}, but its event has not reached Signalbox. It was written "
            f"{seconds} ago, so the event may still be on its way; if none comes, no Event Grid "
            f"subscription covers {place}."
        )
    else:
        text = (
            f"It fits trigger {trigger}, but no event of its upload reached Signalbox: most likely "
            f"no Event Grid subscription covers {place}, or one leaves this path out. Add a "
            "subscription for Microsoft.Storage.BlobCreated, and upload it again."
        )
    if sweep is not None and age < sweep.lookback:
        every = f"{sweep.every.total_seconds() / 60:.0f} minutes"
        text += (
            f" Every {every} a sweep of {trigger} looks for what no event told of, and starts it."
        )
    if age > _KEPT:
        text += (
            " Or it was decided so long ago that the record has expired: they are kept "
            f"{_KEPT.days} days unless that was changed."
        )
    return Reason(code=_NOT_COVERED, text=text)


def _summary(now: Told, before: Told, *, there: bool) -> str:
    """One sentence: about what is there now, or else about what was."""
    lines = dict(zip(map(id, now.items), now.lines, strict=True))
    runs = [item for item in now.items if item.run]
    lost = [item for item in now.items if item.decision in (_NOT_COVERED, _OVERWRITTEN)]
    if len(runs) > 1:
        return f"It became {len(runs)} runs: {_some([item.run for item in runs])}."
    if runs or len(lost) == 1:
        return lines[id((runs or lost)[0])]
    if lost:
        return (
            f"No event of it reached Signalbox, though it fits {_some([i.trigger for i in lost])}."
        )
    if before.items:
        gone = "What is there now started nothing" if there else "There is no blob to be seen now"
        found = answers.count(len(before.items), "decision")
        return f"{gone}; {found} on uploads of that path before can be told."
    said_no = [item for item in now.items if item.at is not None] or now.items
    if len(said_no) == 1:
        return lines[id(said_no[0])]
    if any(item.decision == _NOTHING for item in now.items):
        return "Nothing is recorded of such an upload."
    return f"None of the {len(now.items)} triggers for that place took it."


def _some(names: Sequence[str | None]) -> str:
    rest = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{', '.join(map(str, names[:5]))}{rest}"


def _sentence(line: str) -> str:
    return f"{answers.capital(line)}."


def _name(place: BlobPlace) -> str:
    return shown(f"{place.account}/{place.container}/{place.path}")
