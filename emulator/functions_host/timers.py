"""Timer functions: NCRONTAB schedules, their status on disk, and one late call after a gap."""

import asyncio
import contextlib
import fcntl
import json
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from croniter import CroniterError, croniter

from emulator.functions_host.bindings import Function, HostError
from emulator.functions_host.protos import RpcRetryOptions, TypedData
from emulator.functions_host.worker import Worker

log = logging.getLogger("Host.Triggers.Timer")

# what croniter knows beyond NCRONTAB (?, L, #, @daily, a year) is not accepted by Azure
_FIELD = re.compile(r"(?:\*|\d+|[A-Za-z]{3,9})(?:[-/,](?:\*|\d+|[A-Za-z]{3,9}))*")

#: how often an instance looks whether it may call a timer now
_LOCK_SECONDS = 0.5


class Schedule:
    """An NCRONTAB expression of five or six fields (the first are seconds), in UTC.

    https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer#ncrontab-expressions
    """

    def __init__(self, expression: str) -> None:
        """ValueError when Azure would not accept the expression."""
        fields = expression.split()
        if len(fields) not in (5, 6) or not all(_FIELD.fullmatch(f) for f in fields):
            raise ValueError(f"{expression!r} is not an NCRONTAB expression of 5 or 6 fields")
        self._expression = " ".join(fields if len(fields) == 6 else ["0", *fields])
        try:
            self.next(datetime.now(UTC))
        except CroniterError as error:
            raise ValueError(f"{expression!r}: {error}") from error

    def next(self, after: datetime) -> datetime:
        """The first occurrence later than `after`."""
        # NCRONTAB wants both the day of the month and that of the week to match; cron wants one
        moments: Any = croniter(self._expression, after, second_at_beginning=True, day_or=False)
        occurrence: datetime = moments.get_next(datetime)
        return occurrence


@dataclass(frozen=True, kw_only=True)
class TimerStatus:
    """Kept after each call, under the names the function sees (ISO 8601, UTC)."""

    Last: str
    Next: str
    LastUpdated: str

    @classmethod
    def read(cls, file: Path) -> "TimerStatus | None":
        return cls(**json.loads(file.read_text())) if file.exists() else None

    def write(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_suffix(".new")
        beside.write_text(json.dumps(asdict(self)))
        beside.replace(file)


def timer_data(*, status: TimerStatus | None, past_due: bool) -> TypedData:
    """What a timer function is given."""
    return TypedData(
        json=json.dumps(
            {
                "Schedule": {"AdjustForDST": True},
                "ScheduleStatus": asdict(status) if status else None,
                "IsPastDue": past_due,
            }
        )
    )


class Timer:
    """Calls one timer function. Calls never overlap; what is missed meanwhile is not made up for,
    but for the one late call at start when an occurrence passed while the host was down."""

    def __init__(self, worker: Worker, function: Function, *, folder: Path) -> None:
        """HostError when the function's schedule is not NCRONTAB."""
        self._worker = worker
        self._function = function
        self._file = folder / f"{function.name}.json"
        self._lock = folder / f"{function.name}.lock"
        try:
            self._schedule = Schedule(function.trigger["schedule"])
        except ValueError as error:
            raise HostError(f"{function.name}: {error}") from error

    async def run(self) -> None:
        """Call the function whenever it is due, until cancelled.

        Of the instances that share the folder one does, as in Azure; when it dies, another.
        """
        async with _alone(self._lock):
            await self._run()

    async def _run(self) -> None:
        status = TimerStatus.read(self._file)
        now = datetime.now(UTC)
        if status and self._is_monitored() and datetime.fromisoformat(status.Next) <= now:
            log.info("Function '%s' is past due on startup.", self._function.name)
            await self._call(datetime.fromisoformat(status.Next), past_due=True)
        elif self._function.trigger.get("runOnStartup"):
            await self._call(now, past_due=False)
        elif status is None:
            self._save(last=datetime.min.replace(tzinfo=UTC))
        while True:
            due = self._schedule.next(datetime.now(UTC))
            while (wait := (due - datetime.now(UTC)).total_seconds()) > 0:
                # short naps: a suspended laptop wakes up in the middle of one
                await asyncio.sleep(min(wait, 30))
            await self._call(due, past_due=False)

    def _is_monitored(self) -> bool:
        return self._function.trigger.get("useMonitor") is not False

    async def _call(self, due: datetime, *, past_due: bool) -> None:
        data = timer_data(status=TimerStatus.read(self._file), past_due=past_due)
        attempt = 0
        while True:
            outcome = await self._worker.invoke(
                self._function, data, reason=f"Timer fired at {due.isoformat()}", attempt=attempt
            )
            retry = self._function.retry
            attempt += 1
            # -1 is "for ever"
            if outcome.succeeded or retry is None or 0 <= retry.max_retry_count < attempt:
                break
            await asyncio.sleep(retry_delay(retry, attempt).total_seconds())
        self._save(last=due)

    def _save(self, *, last: datetime) -> None:
        now = datetime.now(UTC)
        TimerStatus(
            Last=last.isoformat(),
            Next=self._schedule.next(now).isoformat(),
            LastUpdated=now.isoformat(),
        ).write(self._file)


@contextlib.asynccontextmanager
async def _alone(file: Path) -> AsyncIterator[None]:
    """Wait until no other process is in here; the lock ends with its process at the latest."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(_LOCK_SECONDS)
        yield


def retry_delay(retry: RpcRetryOptions, attempt: int) -> timedelta:
    """How long to wait before the attempt of that number (the first retry is 1)."""
    if retry.retry_strategy == "fixed_delay":
        return retry.delay_interval
    shortest = max(retry.minimum_interval, timedelta(seconds=1))
    return min(retry.maximum_interval, shortest * (1 << min(attempt - 1, 20)))
