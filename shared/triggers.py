"""Which triggers an event is for: an index by source, filter and prefix, then small checks."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shared import expressions, filters, groups
from shared.definitions import TriggerDefinition
from shared.events import BATCH, HTTP, RUN, SCHEDULE, Event
from shared.index import IndexedTrigger, Paused
from shared.paths import PathPattern
from shared.specs import Filter

#: Where a trigger stands in the index: the kind of its source, what names it exactly, and the
#: attribute and value that its filter wants, if it is looked up by one.
_Source = tuple[str, ...]

#: Attributes that an `exact` filter is looked up by, the first of them that it names. Every event
#: has these as text.
_LOOKED_UP = ("type", "subject", "source")

#: What expressions find at their root when a schedule is due; and a manifest, where it asks for
#: new uploads.
OF_A_TIME = ("scheduled_time", "window_start", "window_end")

#: How the check begins that makes an event one which says that its group is complete.
_RELEASES = "release_on "


@dataclass(frozen=True)
class Match:
    """A trigger an event is for."""

    trigger: TriggerDefinition
    captures: dict[str, str]
    #: What was asked and answered yes, in order.
    passed: tuple[str, ...] = ()
    #: The trigger starts nothing for now.
    paused: Paused | None = None
    #: It says that its group is complete, and is in no batch itself.
    releases: bool = False


@dataclass(frozen=True)
class Near:
    """A trigger that was a candidate, and the first check that said no."""

    trigger: TriggerDefinition
    #: What was asked, for a reader: "path sales/{region}.csv".
    check: str
    passed: tuple[str, ...] = ()


class Matcher:
    """All triggers, arranged so that an event meets only those it might be for."""

    def __init__(
        self, triggers: Mapping[str, IndexedTrigger], variables: Mapping[str, str]
    ) -> None:
        self._triggers = triggers
        self._variables = dict(variables)
        self._places, self._release_places = _Places(), _Places()
        for name, trigger in triggers.items():
            source, prefix = _place(trigger.definition)
            self._places.add(name, source + _wanted(trigger.definition.spec.filter), prefix)
            if released := _release_on(trigger.definition):
                folder = prefix[: prefix.rfind("/") + 1]
                self._release_places.add(name, source + _wanted(released), folder)

    def match(self, event: Event) -> Iterator[Match | Near]:
        """Every candidate with its verdict, in order of trigger name."""
        candidates = self._places.find(event)
        # What does not release is nobody's business that it would not be without that.
        others = self._release_places.find(event) - candidates
        for name in sorted(candidates | others):
            verdict = self.judge(self._triggers[name], event)
            if name in candidates or isinstance(verdict, Match):
                yield verdict

    def judge(self, trigger: IndexedTrigger, event: Event) -> Match | Near:
        """What one trigger says of an event, whether it is a candidate or not."""
        definition, passed = trigger.definition, list[str]()
        captures: dict[str, str] = {}
        for check, answer in self._checks(trigger, event):
            if isinstance(answer, dict):
                captures = answer
            elif not answer:
                return Near(definition, check, tuple(passed))
            passed.append(check)
        releases = any(check.startswith(_RELEASES) for check in passed)
        return Match(definition, captures, tuple(passed), trigger.paused, releases)

    def _checks(
        self, trigger: IndexedTrigger, event: Event
    ) -> Iterator[tuple[str, bool | dict[str, str]]]:
        """Each question and its answer, the cheap ones first; a mapping is what was captured."""
        yield from _source_checks(trigger.definition, event)
        released = _released(trigger.definition, event)
        if released is not None:
            yield released
        else:
            yield from self._own_checks(trigger, event)
        if event.blob is not None:
            # What lay there before the trigger did is not its business.
            since = trigger.effective_from
            yield f"not before {since.isoformat()}", event.time >= since

    def _own_checks(
        self, trigger: IndexedTrigger, event: Event
    ) -> Iterator[tuple[str, bool | dict[str, str]]]:
        """What an event must be that a run is for."""
        spec, captures = trigger.definition.spec, dict[str, str]()
        if spec.pattern is not None:
            what, text = _patterned(trigger.definition, event)
            found = PathPattern(spec.pattern).match(text)
            captures = found or {}
            yield f"{what} {spec.pattern}", found is not None and captures
        failed = filters.failed(spec.filter, event)
        if failed is not None:
            yield f"filter {failed}", False
        elif wanted := filters.described(spec.filter):
            yield f"filter {wanted}", True
        if spec.where is not None:
            known = roots(event, captures, self._variables)
            problem = expressions.unmet(spec.where, known)
            yield f"where {spec.where}{f' ({problem})' if problem else ''}", problem is None


class _Places:
    """Where triggers stand in the index: by source, and the text their pattern begins with."""

    def __init__(self) -> None:
        self._by_source: dict[_Source, dict[str, list[str]]] = defaultdict(
            lambda: defaultdict(list)
        )
        self._lengths: dict[_Source, set[int]] = defaultdict(set)

    def add(self, name: str, source: _Source, prefix: str) -> None:
        self._by_source[source][prefix].append(name)
        self._lengths[source].add(len(prefix))

    def find(self, event: Event) -> set[str]:
        """The triggers that an event might be for."""
        return {
            name
            for base, text in _sources(event)
            for source in (base, *((*base, name, getattr(event, name)) for name in _LOOKED_UP))
            for length in self._lengths.get(source, ())
            if length <= len(text)
            for name in self._by_source[source].get(text[:length], ())
        }


def roots(
    event: Event, captures: Mapping[str, str], variables: Mapping[str, str]
) -> dict[str, Any]:
    """What expressions find at their root."""
    if event.via.startswith(BATCH):
        return {
            "group": dict(event.data["group"]),
            "manifest": event.data["manifest"],
            "settings": dict(variables),
        }
    if event.via.startswith(SCHEDULE):
        known = {name: event.data[name] for name in (*OF_A_TIME, "manifest") if name in event.data}
        return {**known, "settings": dict(variables)}
    return {
        "event": event.content,
        "captures": dict(captures),
        "settings": dict(variables),
    }


def _place(trigger: TriggerDefinition) -> tuple[_Source, str]:
    """Where a trigger stands: its source, and the literal text its pattern begins with."""
    spec = trigger.spec
    prefix = PathPattern(spec.pattern).prefix if spec.pattern is not None else ""
    if spec.blob:
        return ("blob", spec.blob.account, spec.blob.container), prefix
    if spec.service_bus:
        return ("via", spec.service_bus.via), prefix
    if spec.run:
        return ("run", spec.run.pipeline or ""), prefix
    if spec.event:
        return ("type", spec.event.type), prefix
    if spec.schedule:
        return ("via", f"{SCHEDULE}{trigger.name}"), prefix
    return ("via", f"{HTTP}{trigger.name}"), prefix


def _release_on(trigger: TriggerDefinition) -> Filter | None:
    """What says that a group of the trigger's events is complete."""
    batch = trigger.policies.batch
    return batch.release_on if batch else None


def _released(trigger: TriggerDefinition, event: Event) -> tuple[str, dict[str, str]] | None:
    """That an event says that its group is complete, and the captures of where it is."""
    wanted, batch = _release_on(trigger), trigger.policies.batch
    if wanted is None or batch is None or filters.failed(wanted, event) is not None:
        return None
    pattern, captures = trigger.spec.pattern, dict[str, str]()
    if pattern is not None:
        found = groups.found_in(pattern, batch.group_by, _patterned(trigger, event)[1])
        if found is None:
            return None
        captures = found
    return f"{_RELEASES}{filters.described(wanted)}", captures


def _patterned(trigger: TriggerDefinition, event: Event) -> tuple[str, str]:
    """What of an event a trigger's pattern is of: its name and its text."""
    place = event.blob if trigger.spec.blob else None
    return ("path", place.path) if place else ("subject", event.subject)


def _wanted(filter: Filter) -> tuple[str, ...]:
    """The attribute and value that an event must have to be looked at; none: any event is."""
    return next(((name, filter.exact[name]) for name in _LOOKED_UP if name in filter.exact), ())


def _sources(event: Event) -> Iterator[tuple[_Source, str]]:
    """Every place in the index that an event is looked up at, with the text prefixes are of."""
    if place := event.blob:
        yield ("blob", place.account, place.container), place.path
    if event.via.startswith(RUN):
        yield ("run", event.via.removeprefix(RUN)), ""
        yield ("run", ""), ""
        return
    if event.via:
        yield ("via", event.via), ""
    yield ("type", event.type), event.subject


def _source_checks(trigger: TriggerDefinition, event: Event) -> Iterator[tuple[str, bool]]:
    spec = trigger.spec
    if blob := spec.blob:
        place = event.blob
        same = place is not None and (place.account, place.container) == (
            blob.account,
            blob.container,
        )
        yield f"uploaded to {blob.account}/{blob.container}", same
    elif spec.service_bus:
        yield f"came by {spec.service_bus.via}", event.via == spec.service_bus.via
    elif spec.http:
        yield "handed to it by HTTP", event.via == f"{HTTP}{trigger.name}"
    elif spec.schedule:
        yield "due by its schedule", event.via == f"{SCHEDULE}{trigger.name}"
    elif spec.event:
        yield f"type {spec.event.type}", event.type == spec.event.type and not _is_run(event)
        if spec.event.source is not None:
            yield f"source {spec.event.source}", event.source == spec.event.source
    elif run := spec.run:
        data = event.data if _is_run(event) else {}
        yield "the end of a run", _is_run(event)
        if run.pipeline is not None:
            yield f"run of pipeline {run.pipeline}", data.get("pipeline") == run.pipeline
        if run.trigger is not None:
            yield f"run of trigger {run.trigger}", data.get("trigger") == run.trigger
        yield f"status {' or '.join(run.status)}", data.get("status") in run.status


def _is_run(event: Event) -> bool:
    return event.via.startswith(RUN)
