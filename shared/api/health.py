"""Whether Signalbox works: what it cannot do without, asked at most every ten seconds."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

from shared.api import contract, pipelines
from shared.api.contract import Called
from shared.bootstrap import App
from shared.errors import SignalboxError, listed
from shared.inputs import redacted

#: How long an answer holds, so that whoever asks is no load.
_HOLDS = timedelta(seconds=10)

#: The timer runs every minute; a tick takes less than one.
_LATE = timedelta(minutes=5)

#: Characters of what a check tells; the remedy comes last.
_LONGEST = 2000

#: What to do about a timer that does not end.
_LOOK = (
    "If that stays so: is the function `timer` disabled, is the app stopped, and what does its log "
    "say of `timer`?"
)

#: A job that nobody has: that AzureML answers is all that is asked.
_NO_JOB = "signalbox-health-check"

Status = Literal["ok", "failing"]


class Check(BaseModel):
    """One thing that Signalbox needs."""

    status: Status
    #: In words: what was found; or what is wrong, and what to do.
    detail: str


class Health(BaseModel):
    """`ok` when every check is."""

    status: Status
    checks: dict[Literal["storage", "index", "messaging", "workspace", "timer"], Check]


class _Wrong(SignalboxError):
    """What a check found."""


class Healths:
    """Looks, and remembers for a while."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._last: tuple[datetime, Health] | None = None

    def of(self, app: App) -> Health:
        """The newest answer. While one caller looks, others get the one before."""
        if (last := self._fresh()) is not None:
            return last
        if not self._lock.acquire(blocking=self._last is None):
            assert self._last
            return self._last[1]
        try:
            # Whoever had the lock may just have looked.
            if (last := self._fresh()) is not None:
                return last
            found = _look(app)
            self._last = (self._now(), found)
            return found
        finally:
            self._lock.release()

    def _fresh(self) -> Health | None:
        last = self._last
        return last[1] if last and self._now() - last[0] < _HOLDS else None


def router(now: Callable[[], datetime]) -> APIRouter:
    made, healths = APIRouter(tags=["service"]), Healths(now)

    @made.get(
        "/api/health",
        operation_id="check_health",
        summary="Whether storage, Service Bus and AzureML can be reached, and the timer runs",
        responses={**contract.refusals(), 503: _FAILING},
    )
    def check_health(call: Called, response: Response) -> Health:
        """Answers at most ten seconds old. 503 when a check fails."""
        found = healths.of(call.app)
        if found.status != "ok":
            response.status_code = 503
        return found

    return made


_FAILING: dict[str, Any] = {
    "description": "A check fails; or, as a problem, settings are missing.",
    "content": {
        "application/json": {"schema": {"$ref": "#/components/schemas/Health"}},
        **contract.refusals()[503]["content"],
    },
}


def _look(app: App) -> Health:
    checks: dict[Any, Check] = {
        "storage": _check(lambda: _storage(app)),
        "index": _check(lambda: _index(app)),
        "messaging": _check(app.broker.look),
        "workspace": _check(lambda: _workspace(app)),
        "timer": _check(lambda: _timer(app)),
    }
    good = all(check.status == "ok" for check in checks.values())
    return Health(status="ok" if good else "failing", checks=checks)


def _check(look: Callable[[], str]) -> Check:
    try:
        return Check(status="ok", detail=look())
    except SignalboxError as error:
        return Check(status="failing", detail=redacted(str(error))[:_LONGEST])


def _storage(app: App) -> str:
    return f"Storage answers; its time is {app.index.now().isoformat(timespec='seconds')}."


def _index(app: App) -> str:
    snapshot = app.index.read().snapshot
    ports = pipelines.ports(app, snapshot)
    wrong = [name for name in snapshot.triggers if pipelines.problems_of(snapshot, name, ports)]
    said = f"triggers: {len(snapshot.triggers)}, pipelines: {len(snapshot.pipelines)}"
    return f"{said}; with problems: {', '.join(sorted(wrong)[:20]) or 'none'}."


def _workspace(app: App) -> str:
    app.workspace.find(_NO_JOB)
    return "The AzureML workspace answers."


def _timer(app: App) -> str:
    beat, now = app.heartbeat.last()
    if beat is None or now is None:
        raise _Wrong(f"The timer has not ended yet, as in the first minute. {_LOOK}")
    ended = f"{beat.ended:%Y-%m-%d %H:%M:%S} UTC"
    if now - beat.ended > _LATE:
        raise _Wrong(f"The timer last ended at {ended}: it should each minute. {_LOOK}")
    if beat.failed:
        raise _Wrong(
            f"The timer, which ended at {ended}, could not look at {listed(beat.failed)}. The log "
            "says why; it tries again each minute."
        )
    return f"The timer last ended at {ended}, after {beat.seconds:.1f} s."
