"""The body of a schedule's PUT as the service keeps it, and the job that it starts. Pure."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from emulator.azureml.arm_ids import last_segment
from emulator.azureml.errors import NotImplementedHere
from emulator.azureml.resources import timestamp
from emulator.azureml.schedules.errors import BadSchedule, InvalidJobsOverride

#: Actions of schedules that start no job.
_OTHER_ACTIONS = {
    "CreateMonitor": "Schedules of monitors",
    "ImportData": "Schedules that import data",
    "InvokeBatchEndpoint": "Schedules of batch endpoints",
}
_FIELDS = frozenset(
    {
        "action",
        "description",
        "displayName",
        "isEnabled",
        "properties",
        "provisioningState",
        "tags",
        "trigger",
    }
)
#: Of a job that a schedule starts, what it may say otherwise than the job it names.
_MAPPINGS = ("inputs", "outputs", "settings", "tags", "properties")
_MACRO = re.compile(r"\$\{\{\s*(name|creation_context\.trigger_time)\s*\}\}")


def checked(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The properties of a schedule. Raises BadSchedule, or NotImplementedHere with the feature."""
    properties = body.get("properties")
    if not isinstance(properties, Mapping):
        raise BadSchedule(f"The schedule '{name}' has no properties.")
    for field, value in properties.items():
        if field not in _FIELDS and value not in (None, {}, []):
            raise NotImplementedHere(f"The field '{field}' of schedules", plural=False)
    action = properties.get("action") or {}
    kind = str(action.get("actionType"))
    if kind in _OTHER_ACTIONS:
        raise NotImplementedHere(_OTHER_ACTIONS[kind])
    job = action.get("jobDefinition")
    if kind != "CreateJob" or not isinstance(job, Mapping):
        raise BadSchedule(f"The schedule '{name}' has no action that creates a job.")
    if job.get("jobType") != "Pipeline":
        raise NotImplementedHere(f"Schedules of {job.get('jobType')} jobs")
    if not isinstance(properties.get("trigger"), Mapping):
        raise BadSchedule(f"The schedule '{name}' has no trigger.")
    trigger = {"timeZone": "UTC", **{k: v for k, v in properties["trigger"].items() if v}}
    return {
        **properties,
        "isEnabled": properties.get("isEnabled") is not False,
        "tags": dict(properties.get("tags") or {}),
        "properties": dict(properties.get("properties") or {}),
        "trigger": trigger,
    }


def job_of(
    properties: Mapping[str, Any], body_of: Callable[[str], Mapping[str, Any]]
) -> dict[str, Any]:
    """The body of the jobs that a schedule starts, macros as they are.

    `body_of` gives the body of a submitted job, which a schedule may name in place of one.
    """
    job = dict(properties["action"]["jobDefinition"])
    source = job.pop("sourceJobId", None)
    if not source:
        return job
    if job.get("jobs"):
        raise InvalidJobsOverride(str(source))
    submitted = dict(body_of(last_segment(str(source))))
    said = {key: value for key, value in job.items() if value not in (None, "", {}, [])}
    for key in _MAPPINGS:
        if key in said:
            said[key] = {**(submitted.get(key) or {}), **said[key]}
    return {**submitted, **said}


def filled(job: Mapping[str, Any], name: str, moment: datetime) -> dict[str, Any]:
    """The body with its macros replaced, in inputs that are text and in paths of outputs."""
    known = {"name": name, "creation_context.trigger_time": str(timestamp(moment))}

    def fill(text: Any) -> Any:
        return _MACRO.sub(lambda found: known[found[1]], text) if isinstance(text, str) else text

    return {
        **job,
        "inputs": {
            key: {**value, "value": fill(value.get("value"))} if "value" in value else value
            for key, value in (job.get("inputs") or {}).items()
        },
        "outputs": {
            key: {**value, "uri": fill(value.get("uri"))} if value else value
            for key, value in (job.get("outputs") or {}).items()
        },
    }
