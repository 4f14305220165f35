"""Pausing a trigger, and letting it go on."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Literal

from shared.errors import NotFound, RequestInvalid, listed
from shared.index import Index, IndexedTrigger, PastPause, Paused, Snapshot
from shared.inputs import redacted
from shared.mistakes import unprintable

#: Characters of a note.
NOTE_LENGTH = 500


class Pauses:
    """Says in the index, which every event reads, that a trigger is paused.

    All raise NotFound when there is no such trigger, and StorageUnavailable.
    """

    #: `follow` is told of every trigger that was paused or resumed, also of one that was so before.
    def __init__(
        self, index: Index, follow: Callable[[IndexedTrigger], object] = lambda _trigger: None
    ) -> None:
        self._index = index
        self._follow = follow

    def pause(
        self,
        trigger: str,
        *,
        note: str,
        by: str,
        while_paused: Literal["hold", "drop"] | None = None,
    ) -> IndexedTrigger:
        """Let nothing new begin. Saying it again changes nothing, with another note that alone.

        Raises RequestInvalid for a note that cannot be shown.
        """
        said = _note(note)

        def change(snapshot: Snapshot, at: datetime) -> Snapshot:
            known = _named(snapshot.triggers, trigger)
            before = known.paused
            if before and (before.note, before.while_paused) == (said, while_paused):
                return snapshot
            since = before.at if before else at
            paused = Paused(note=said, at=since, by=by, while_paused=while_paused)
            return _with(snapshot, trigger, known, paused)

        return self._changed(trigger, change)

    def resume(self, trigger: str) -> IndexedTrigger:
        """Let it go on; what is not paused goes on anyway."""

        def change(snapshot: Snapshot, at: datetime) -> Snapshot:
            known = _named(snapshot.triggers, trigger)
            if known.paused is None:
                return snapshot
            if known.schedule is not None:
                past = PastPause(paused=known.paused, until=at)
                known = known.model_copy(update={"pauses": (*known.pauses, past)})
            return _with(snapshot, trigger, known, None)

        return self._changed(trigger, change)

    def _changed(
        self, trigger: str, change: Callable[[Snapshot, datetime], Snapshot]
    ) -> IndexedTrigger:
        after = self._index.change(change).triggers[trigger]
        self._follow(after)
        return after


def _note(text: str) -> str:
    note = text.strip()
    if not 1 <= len(note) <= NOTE_LENGTH:
        raise RequestInvalid(
            "A pause says why", {"note": f"must have 1 to {NOTE_LENGTH} characters"}
        )
    if why := unprintable(note):
        raise RequestInvalid("A note is one line of text", {"note": why})
    return redacted(note)


def _named(triggers: Mapping[str, IndexedTrigger], name: str) -> IndexedTrigger:
    found = triggers.get(name)
    if found is None:
        raise NotFound(f"There is no trigger {name!r}. There are: {listed(sorted(triggers))}.")
    return found


def _with(snapshot: Snapshot, name: str, known: IndexedTrigger, paused: Paused | None) -> Snapshot:
    changed = known.model_copy(update={"paused": paused})
    return snapshot.model_copy(update={"triggers": {**snapshot.triggers, name: changed}})
