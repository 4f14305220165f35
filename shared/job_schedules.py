"""The workspace's schedules as AzureML has them, through the client of `workspace`."""

import io
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, Protocol

import yaml
from azure.core import polling
from azure.core.exceptions import ResourceNotFoundError

from shared.native_plans import (
    DEPLOYMENT_TAG,
    FoundSchedule,
    WantedSchedule,
    setting,
    versioned,
)
from shared.native_triggers import NativeTrigger
from shared.workspace import job_of, require_workspace, translated

log = logging.getLogger(__name__)

#: Everything, not only what is enabled.
_ALL = "All"


class JobSchedules(Protocol):
    """What Signalbox asks of AzureML's schedules. All raise WorkspaceUnavailable, JobRejected.

    What is changed is under way when they return; nobody waits for it.
    """

    def all(self) -> list[FoundSchedule]: ...

    def find(self, name: str) -> FoundSchedule | None: ...

    def put(self, wanted: WantedSchedule) -> None:
        """Create or change it: one request."""

    def disable(self, name: str) -> None:
        """Stop one that nobody wants any more: a GET, and a PUT of what it answered."""

    def delete(self, name: str) -> None:
        """Delete one that is disabled; nothing happens when there is none."""

    def trigger(self, name: str) -> str:
        """Let an enabled one start one job more, now; the job's name."""


class AzureJobSchedules:
    """JobSchedules through the public SDK."""

    #: `client` gives the one MLClient of the process.
    def __init__(self, client: Callable[[], Any]) -> None:
        self._client = client

    def all(self) -> list[FoundSchedule]:
        with translated("the schedules"):
            return [_found(each) for each in self._schedules().list(list_view_type=_ALL)]

    def find(self, name: str) -> FoundSchedule | None:
        with translated(f"schedule {name!r}"):
            try:
                return _found(self._schedules().get(name))
            except ResourceNotFoundError as error:
                require_workspace(error)
                return None

    def put(self, wanted: WantedSchedule) -> None:
        with translated(f"schedule {wanted.name!r}"):
            self._schedules().begin_create_or_update(_schedule(wanted))

    def disable(self, name: str) -> None:
        with translated(f"schedule {name!r}"):
            try:
                self._schedules().begin_disable(name)
            except ResourceNotFoundError as error:
                require_workspace(error)

    def delete(self, name: str) -> None:
        with translated(f"schedule {name!r}"):
            try:
                self._schedules().begin_delete(name)
            except ResourceNotFoundError as error:
                require_workspace(error)

    def trigger(self, name: str) -> str:
        with translated(f"schedule {name!r}"):
            return str(self._schedules().trigger(name).job_name)

    def _schedules(self) -> Any:
        schedules = self._client().schedules
        # The SDK would poll in a thread of its own, and print a dot for each look.
        no_polling: Any = polling.NoPolling
        schedules._get_polling = lambda _name: no_polling()
        return schedules


def _schedule(wanted: WantedSchedule) -> Any:
    from azure.ai.ml.entities import JobSchedule

    return JobSchedule(
        name=wanted.name,
        trigger=_trigger(wanted.trigger),
        create_job=job_of(wanted.body),
        display_name=wanted.display_name,
        description=wanted.studio.description,
        tags=wanted.tags,
        is_enabled=wanted.enabled,
    )


def _trigger(trigger: NativeTrigger) -> Any:
    from azure.ai.ml.entities import CronTrigger, RecurrencePattern, RecurrenceTrigger

    given: dict[str, Any] = asdict(trigger)
    when = {key: given[key] for key in ("start_time", "end_time", "time_zone")}
    if trigger.expression is not None:
        return CronTrigger(expression=trigger.expression, **when)
    parts = {key: list(given[key]) for key in ("hours", "minutes")}
    days = list(trigger.month_days) or None
    pattern = RecurrencePattern(**parts, month_days=days) if trigger.hours else None
    return RecurrenceTrigger(
        frequency=given["frequency"], interval=given["interval"], schedule=pattern, **when
    )


def _found(schedule: Any) -> FoundSchedule:
    """A schedule as the SDK read it; of those that Signalbox did not make only the name."""
    tags = {str(key): str(value) for key, value in (schedule.tags or {}).items()}
    content = _content(schedule) if DEPLOYMENT_TAG in tags else {}
    return FoundSchedule(
        name=schedule.name,
        enabled=bool(schedule.is_enabled),
        # The SDK gives states it knows as an enum.
        state=str(getattr(state := schedule.provisioning_state, "value", state) or "Succeeded"),
        tags=tags,
        fields=dict(_fields(content)),
    )


def _content(schedule: Any) -> dict[str, Any]:
    """A schedule as YAML; empty when the SDK cannot write it: then everything of it differs."""
    text = io.StringIO()
    try:
        schedule.dump(text)
        content = yaml.safe_load(text.getvalue())
    except Exception:
        # One that somebody changed into what the SDK does not know must not hide the others.
        log.warning("The schedule %s in AzureML cannot be read", schedule.name, exc_info=True)
        return {}
    return content if isinstance(content, dict) else {}


def _fields(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What `WantedSchedule.fields` has, of a schedule as YAML."""
    trigger, job = content.get("trigger") or {}, content.get("create_job") or {}
    pattern = trigger.get("schedule") or {}
    for key, value in {**trigger, **pattern}.items():
        if key not in ("type", "schedule") and value not in (None, []):
            yield f"trigger.{key}", _listed(value)
    for key in ("display_name", "description"):
        if content.get(key):
            yield key, str(content[key])
    for key, value in (content.get("tags") or {}).items():
        yield f"tags.{key}", str(value)
    if not isinstance(job, Mapping):
        yield "job", str(job)
        return
    if component := job.get("component"):
        yield "component", versioned(str(component))
    if experiment := job.get("experiment_name"):
        yield "experiment_name", str(experiment)
    for kind in ("inputs", "outputs"):
        for name, value in (job.get(kind) or {}).items():
            yield from _port(f"{kind}.{name}", value)
    for key, value in (job.get("settings") or {}).items():
        yield f"settings.{key}", setting(value)
    for key, value in (job.get("tags") or {}).items():
        yield f"job_tags.{key}", str(value)


def _port(place: str, value: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(value, Mapping):
        yield place, str(value)
        return
    yield place, str(value.get("path") or "")
    for key in ("mode", "name"):
        if value.get(key) is not None:
            yield f"{place}.{key}", str(value[key])


def _listed(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value).replace(" ", "T", 1) if _is_time(str(value)) else str(value)


def _is_time(text: str) -> bool:
    return len(text) == 19 and text[4:5] == text[7:8] == "-" and text[10] == " "
