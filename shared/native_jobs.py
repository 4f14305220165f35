"""The job that AzureML starts by itself for a trigger: bound once, with AzureML's macros in it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from shared import binding
from shared.binding import RUN_TAG, Origin
from shared.datastores import Datastores
from shared.definitions import TriggerDefinition
from shared.errors import ExpressionInvalid
from shared.events import DUE_TYPE, Event
from shared.inputs import DataInput
from shared.published import PublishedPipeline
from shared.workspace import JobBody

#: What AzureML fills in when it starts a job, and what stands for it while the job is bound: a
#: value of the trigger's own is looked at for what a shell would act on.
_STANDS_FOR: Mapping[str, str] = {
    "signalbox-stands-for-the-name": "${{name}}",
    "signalbox-stands-for-the-time": "${{creation_context.trigger_time}}",
}
_NAME, _TIME = _STANDS_FOR

#: Tags of an event, which there is none of.
_OF_AN_EVENT = (RUN_TAG, "signalbox_event_id", "signalbox_event_source", "signalbox_event_subject")


def body_of(
    trigger: TriggerDefinition,
    pipeline: PublishedPipeline,
    *,
    deployment: str,
    variables: Mapping[str, str],
    datastores: Datastores,
    given: Mapping[str, Any] | None = None,
) -> JobBody:
    """What every job of a trigger's schedule is made from. Raises ExpressionInvalid.

    Its display name is AzureML's to choose. `given` are values of inputs in place of the
    trigger's.
    """
    # As an event's: a shell may act on what a client says.
    instead = {name: f'${{{{ given."{name}" }}}}' for name in given or {}}
    action = trigger.action.model_copy(update={"inputs": {**trigger.action.inputs, **instead}})
    known: dict[str, Any] = {
        "given": dict(given or {}),
        "settings": dict(variables),
        "name": _NAME,
        "creation_context": {"trigger_time": _TIME},
    }
    origin = Origin(
        deployment=deployment,
        trigger=trigger.name,
        run_id="",
        event=Event(
            id=trigger.name,
            source=f"/signalbox/schedules/{trigger.name}",
            type=DUE_TYPE,
            time=datetime(1970, 1, 1, tzinfo=UTC),
        ),
    )
    bound = binding.bind(action, pipeline, known, origin, datastores)
    if bound.body is None:
        raise ExpressionInvalid(bound.text)
    body = bound.body
    for name, value in body.inputs.items():
        if isinstance(value, DataInput) and any(each in str(value.path) for each in _STANDS_FOR):
            raise ExpressionInvalid(
                f"inputs.{name}: AzureML fills in its macros in text only, and this is {value.type}"
            )
    return body.model_copy(
        update={
            "inputs": {name: _filled(value, _STANDS_FOR) for name, value in body.inputs.items()},
            "display_name": trigger.name,
            "tags": {k: v for k, v in body.tags.items() if k not in _OF_AN_EVENT},
        }
    )


def started_by_hand(body: JobBody, name: str, now: datetime) -> JobBody:
    """The body with what AzureML would fill in, for a job that it does not start by itself."""
    known = dict(zip(_STANDS_FOR.values(), (name, f"{now:%Y-%m-%dT%H:%M:%SZ}"), strict=True))
    return body.model_copy(
        update={
            "inputs": {key: _filled(value, known) for key, value in body.inputs.items()},
            "outputs": {
                key: output.model_copy(update={"path": _filled(output.path, known)})
                for key, output in body.outputs.items()
            },
        }
    )


def _filled[T](value: T, known: Mapping[str, str]) -> T | str:
    """Text with each of the keys replaced by what it stands for; what is no text as it is."""
    if not isinstance(value, str):
        return value
    text: str = value
    for stands, meant in known.items():
        text = text.replace(stands, meant)
    return text
