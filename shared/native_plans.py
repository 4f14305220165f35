"""Schedules in AzureML: what should be there, what is, and what to do about it. Pure."""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from shared.errors import listed
from shared.inputs import DataInput
from shared.native_triggers import NativeTrigger
from shared.specs import Studio
from shared.workspace import JobBody

#: Tags by which a schedule is known to be ours (its jobs have them as well), and what it was made
#: from.
DEPLOYMENT_TAG, TRIGGER_TAG = "signalbox_deployment", "signalbox_trigger"
REVISION_TAG = "signalbox_revision"

#: Nothing but a name.
_PLAIN = Studio()

#: What no place has.
_NEVER = object()

#: What a job has by default whether it is said or not.
_UNSAID = ("", "false", "none")
#: Parts of a schedule in which everything that is not wanted is told, too.
_WHOLE = ("trigger.", "inputs.", "outputs.")

#: States that an operation of AzureML's ended in, and that only another one leaves.
_FAILED = ("Failed", "Canceled")


class Action(StrEnum):
    """What is done about a schedule."""

    CREATE = "create"
    UPDATE = "update"
    DISABLE = "disable"
    ENABLE = "enable"
    DELETE = "delete"
    KEEP = "keep"


@dataclass(frozen=True, kw_only=True)
class WantedSchedule:
    """A schedule as it is to be."""

    #: Its trigger's, and AzureML's for it.
    name: str
    deployment: str
    #: False while its trigger is paused.
    enabled: bool
    trigger: NativeTrigger
    #: What its jobs are: the same as of a job that is submitted.
    body: JobBody
    #: Its end lies in the past: AzureML takes no such schedule, and one that is there does nothing.
    over: bool = False
    #: What AzureML's studio shows of it.
    studio: Studio = _PLAIN

    @property
    def display_name(self) -> str:
        return self.studio.display_name or self.name

    @property
    def tags(self) -> dict[str, str]:
        return {
            **self.studio.tags,
            DEPLOYMENT_TAG: self.deployment,
            TRIGGER_TAG: self.name,
            REVISION_TAG: self.revision,
        }

    @property
    def revision(self) -> str:
        """Another for another trigger or job; whether it is enabled says nothing of it."""
        content = f"{self.trigger!r} {self.body.model_dump_json()}"
        if self.studio != _PLAIN:
            content += self.studio.model_dump_json()
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    @property
    def fields(self) -> dict[str, str]:
        """Everything that is compared, by its place."""
        shown = {"display_name": self.display_name, "description": self.studio.description}
        return {
            **{place: text for place, text in shown.items() if text},
            **_trigger(self.trigger),
            **_body(self.body),
            **{f"tags.{name}": value for name, value in self.tags.items()},
        }


@dataclass(frozen=True, kw_only=True)
class FoundSchedule:
    """A schedule as AzureML has it."""

    name: str
    enabled: bool
    #: `Succeeded`, or what is under way.
    state: str = "Succeeded"
    tags: Mapping[str, str] = field(default_factory=dict)
    #: As `WantedSchedule.fields`.
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def busy(self) -> bool:
        """Whether a change of it is under way, during which AzureML takes no other."""
        return self.state not in ("Succeeded", *_FAILED)

    @property
    def deployment(self) -> str | None:
        """Whose it is; None for one that Signalbox did not make."""
        return self.tags.get(DEPLOYMENT_TAG)


@dataclass(frozen=True, kw_only=True, order=True)
class Drift:
    """One place at which AzureML has something else than it should."""

    place: str
    #: None: nothing.
    wanted: str | None
    found: str | None

    def __str__(self) -> str:
        if self.found is None:
            return f"{self.place} is not there, and should be {self.wanted!r}"
        if self.wanted is None:
            return f"{self.place} is {self.found!r}, and should not be there"
        return f"{self.place} is {self.found!r}, and should be {self.wanted!r}"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing to do about one schedule."""

    name: str
    action: Action
    drift: tuple[Drift, ...] = ()
    #: It must wait until AzureML is done with the change before.
    busy: bool = False

    @property
    def differs(self) -> bool:
        """Whether AzureML has it otherwise than it should be, or not at all."""
        return bool(self.drift) or self.action is not Action.KEEP


@dataclass(frozen=True)
class NativePlan:
    """What is to be done about all of them, in order, and what nothing can be done about."""

    steps: tuple[Step, ...]
    #: Name -> why the schedule of that name is not ours to touch.
    conflicts: Mapping[str, str] = field(default_factory=dict)

    @property
    def changes(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.action is not Action.KEEP)


def plan(
    wanted: Iterable[WantedSchedule],
    found: Iterable[FoundSchedule],
    deployment: str,
    *,
    unknown: Collection[str] = (),
    settled: Mapping[str, Mapping[str, str | None]] | None = None,
) -> NativePlan:
    """What makes AzureML have what is wanted; schedules of others are never touched.

    `unknown` are schedules that are wanted, and nobody can say now how: they are left alone.
    `settled` are places, by schedule, at which AzureML kept something else although it was put
    there, and what: they are told, and not put again.
    """
    there = {each.name: each for each in found}
    steps: list[Step] = []
    conflicts: dict[str, str] = {}
    names = set(unknown)
    for each in sorted(wanted, key=lambda each: each.name):
        names.add(each.name)
        known = there.get(each.name)
        if known is not None and known.deployment != deployment:
            conflicts[each.name] = conflict(known)
            continue
        if known is None and each.over:
            continue
        steps.append(_step(each, known, (settled or {}).get(each.name, {})))
    for name, left in sorted(there.items()):
        if left.deployment == deployment and name not in names:
            # AzureML asks for it, and what fires while it is deleted would be nobody's.
            both = [Action.DISABLE, Action.DELETE] if left.enabled else [Action.DELETE]
            steps += [Step(name=name, action=action, busy=left.busy) for action in both]
    return NativePlan(tuple(steps), conflicts)


def drift(wanted: WantedSchedule, found: FoundSchedule) -> tuple[Drift, ...]:
    """Every place at which a schedule differs from what it should be."""
    enabled = {"enabled": str(wanted.enabled).lower()}, {"enabled": str(found.enabled).lower()}
    should, has = wanted.fields | enabled[0], {**found.fields} | enabled[1]
    places = {
        place
        for place in has
        if place in should or place.startswith(_WHOLE) or place.startswith("settings.")
    }
    differing = [
        Drift(place=place, wanted=should.get(place), found=has.get(place))
        for place in sorted(places | should.keys())
        if not _alike(place, should.get(place), has.get(place))
    ]
    if found.state in _FAILED:
        differing.append(Drift(place="state", wanted="Succeeded", found=found.state))
    return tuple(differing)


def conflict(found: FoundSchedule) -> str:
    """Why a schedule that has a trigger's name is not ours to touch."""
    if found.deployment:
        whose = (
            f"belongs to the trigger {found.tags.get(TRIGGER_TAG)!r} of the deployment "
            f"{found.deployment!r}"
        )
    else:
        whose = "was not made by Signalbox"
    return (
        f"AzureML has a schedule {found.name!r} already, which {whose} and is left alone; give "
        "the trigger another name, or delete that schedule in AzureML"
    )


def told(step: Step) -> str:
    """A step in words, for whoever is asked whether to take it."""
    what = {
        Action.CREATE: "will be created in AzureML",
        Action.UPDATE: "will be changed in AzureML",
        Action.DISABLE: "will be disabled in AzureML",
        Action.ENABLE: "will be enabled in AzureML",
        Action.DELETE: "will be deleted in AzureML",
        Action.KEEP: "is in AzureML",
    }[step.action]
    if step.action is Action.KEEP and step.drift:
        what = "differs in AzureML, which keeps it so"
    differs = step.drift and step.action in (Action.UPDATE, Action.KEEP)
    return f"{what}: {listed(str(each) for each in step.drift)}" if differs else what


def _step(
    wanted: WantedSchedule, found: FoundSchedule | None, settled: Mapping[str, str | None]
) -> Step:
    if found is None:
        return Step(name=wanted.name, action=Action.CREATE)
    differing = drift(wanted, found)
    to_do = [each for each in differing if settled.get(each.place, _NEVER) != each.found]
    action = Action.UPDATE
    if not to_do or wanted.over:
        action = Action.KEEP
    elif [each.place for each in to_do] == ["enabled"]:
        action = Action.ENABLE if wanted.enabled else Action.DISABLE
    return Step(name=wanted.name, action=action, drift=differing, busy=found.busy)


def _alike(place: str, wanted: str | None, found: str | None) -> bool:
    if place.startswith("settings.") and wanted is None:
        # AzureML adds settings of its own, and defaults.
        return place.startswith("settings._") or (found or "").lower() in _UNSAID
    if wanted is None or found is None:
        return (wanted or "").lower() in _UNSAID and (found or "").lower() in _UNSAID
    return _plain(wanted) == _plain(found)


def _plain(text: str) -> str:
    """What AzureML writes in another way and means the same by."""
    lower = text.lower()
    return lower if lower in ("true", "false") else text.strip()


def _trigger(trigger: NativeTrigger) -> dict[str, str]:
    def numbers(of: Iterable[int]) -> str:
        return ",".join(map(str, of))

    found = {
        "expression": trigger.expression,
        "frequency": trigger.frequency,
        "interval": str(trigger.interval) if trigger.interval else None,
        "hours": numbers(trigger.hours),
        "minutes": numbers(trigger.minutes),
        "month_days": numbers(trigger.month_days),
        "start_time": trigger.start_time,
        "end_time": trigger.end_time,
        "time_zone": trigger.time_zone,
    }
    return {f"trigger.{key}": value for key, value in found.items() if value}


def _body(body: JobBody) -> dict[str, str]:
    fields = {
        "component": versioned(body.component_id) if body.jobs is None else None,
        "experiment_name": body.experiment_name,
    }
    for name, value in body.inputs.items():
        fields |= _port(f"inputs.{name}", value)
    for name, output in body.outputs.items():
        fields |= _port(f"outputs.{name}", output)
    fields |= {f"settings.{key}": setting(value) for key, value in body.settings.items()}
    fields |= {f"job_tags.{key}": value for key, value in body.tags.items()}
    return {key: value for key, value in fields.items() if value}


def _port(place: str, value: object) -> dict[str, str | None]:
    if not isinstance(value, DataInput):
        return {place: str(value)}
    parts = {"": value.path or "", ".mode": value.mode, ".name": value.name}
    return {f"{place}{key}": text for key, text in parts.items() if text is not None}


def versioned(component: str) -> str:
    """`name:version` of a component, however it is named."""
    parts = component.removeprefix("azureml:").split("/")
    return f"{parts[-3]}:{parts[-1]}" if "versions" in parts[-2:] else parts[-1]


def setting(value: object) -> str:
    """A setting as text; computes and datastores by their names alone."""
    text = str(value).removeprefix("azureml:")
    return text.rpartition("/")[2] if text.startswith("/subscriptions/") else text
