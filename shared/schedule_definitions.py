"""AzureML CLI v2 schedule YAML, as it is: a trigger of ours, and the pipeline that it starts.

Pure but for the job files that it names, which are read by whoever knows where they are.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from shared import schedule_triggers
from shared.documents import Document, Place
from shared.errors import DefinitionsInvalid, Problem
from shared.specs import NAME, NAME_IN_WORDS

_KEYS = frozenset(
    {
        "$schema",
        "name",
        "version",
        "display_name",
        "description",
        "tags",
        "properties",
        "trigger",
        "create_job",
    }
)
#: What AzureML's studio shows of a schedule.
_SHOWN = ("display_name", "description", "tags")
_OTHERS = {
    "create_monitor": "is a schedule of a monitor",
    "import_data": "is a schedule that imports data",
}
#: Types of data inputs whose path the service reads by itself.
_REMOTE = ("azureml:", "https://", "http://", "wasbs://", "abfss://", "adl://")


@dataclass(frozen=True)
class Read:
    """What a document says."""

    #: The trigger as it would be written, with the lines of the schedule's document.
    trigger: Document | None = None
    #: The name and document of the pipeline that it starts; None when that was defined elsewhere.
    pipeline: tuple[str, Document] | None = None
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


def is_schedule(content: Mapping[str, Any]) -> bool:
    """Whether a document is a schedule of any kind, and not a job that one names."""
    return bool(content.keys() & {"trigger", "create_job", *_OTHERS})


def job_file(document: Document) -> Path | None:
    """The file of the job that a schedule names, if it names one."""
    job = document.content.get("create_job")
    named = job.get("job") if isinstance(job, Mapping) else job
    if not isinstance(named, str) or named.startswith("azureml:"):
        return None
    return document.path.parent / named.removeprefix("file:")


def read(document: Document, pipelines: Path, job: Callable[[Path], Document]) -> Read:
    """The trigger and the pipeline of one schedule, with everything that is wrong with it.

    `pipelines` is the folder whose pipelines are defined anyway; `job` reads the file of a job and
    raises DefinitionsInvalid.
    """
    content = document.content
    for key, what in _OTHERS.items():
        if key in content:
            why = f"{what}, which Signalbox does not look after; move it out of this folder"
            return Read(problems=(document.problem((key,), why),))
    making = _Making(document)
    for key in sorted(content.keys() - _KEYS):
        making.refuse(
            (key,), f"{key} is no key of a schedule; there are: {', '.join(sorted(_KEYS))}"
        )
    making.name()
    making.schedule()
    making.shown()
    making.job(pipelines, job)
    if content.get("properties"):
        making.warn(("properties",), "properties: not kept; a trigger has no place for them")
    if making.problems:
        return Read(problems=tuple(making.problems), warnings=tuple(making.warnings))
    trigger = replace(
        document, content=making.content, lines={(): 1, **making.lines}, rewritten=True
    )
    return Read(trigger=trigger, pipeline=making.pipeline, warnings=tuple(making.warnings))


@dataclass
class _Making:
    """A trigger while it is made of a schedule."""

    document: Document
    content: dict[str, Any] = field(default_factory=dict)
    lines: dict[Place, int] = field(default_factory=dict)
    pipeline: tuple[str, Document] | None = None
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def refuse(self, place: Place, why: str) -> None:
        self.problems.append(self.document.problem(place, why))

    def warn(self, place: Place, why: str) -> None:
        self.warnings.append(self.document.problem(place, why))

    def say(self, to: Place, value: Any, place: Place) -> None:
        """A value of the trigger, and where it is written in the schedule."""
        part = self.content
        for key in to[:-1]:
            part = part.setdefault(str(key), {})
        part[str(to[-1])] = value
        self.lines[to] = self.document.line(place)

    def name(self) -> None:
        name = self.document.content.get("name")
        if not isinstance(name, str) or not NAME.fullmatch(name):
            meant = name.lower() if isinstance(name, str) else ""
            hint = f", as {meant!r}" if NAME.fullmatch(meant) else ""
            self.refuse(
                ("name",), f"name is {name!r}; a trigger's has {NAME_IN_WORDS}: rename it{hint}"
            )
        self.say(("name",), name, ("name",))

    def schedule(self) -> None:
        made = schedule_triggers.read(self.document.content.get("trigger"))
        for place, why in made.problems:
            self.refuse(("trigger", *place), why)
        for key, value in made.spec.items():
            place = ("trigger", *made.places.get(key, ()))
            self.say(("spec", "schedule", key), value, place)

    def shown(self) -> None:
        for key in _SHOWN:
            value = self.document.content.get(key)
            if key == "tags" and isinstance(value, Mapping):
                value = _tags(value)
            if value not in (None, "", {}):
                self.say(("spec", "schedule", "studio", key), value, (key,))

    def job(self, pipelines: Path, read: Callable[[Path], Document]) -> None:
        given, name = self.document.content.get("create_job"), str(self.content.get("name"))
        if isinstance(given, Mapping) and "job" not in given and {"jobs", "component"} & {*given}:
            self.pipeline = (name, self._inline(given))
            self.say(("action", "pipeline"), name, ("create_job",))
            return
        file = job_file(self.document)
        if file is None:
            self._refuse_job(given)
            return
        try:
            written = read(file)
        except DefinitionsInvalid as error:
            # A file as a whole, as one that is not there, is a mistake of who names it.
            self.problems += [
                each
                if each.line
                else self.document.problem(("create_job",), f"{each.file} {each.message}")
                for each in error.problems
            ]
            return
        rest = self._bound(given) if isinstance(given, Mapping) else {}
        if rest:
            content = _merged(written.content, rest)
            self.pipeline = (name, replace(written, content=content, rewritten=True))
        else:
            name = file.stem
            if file.parent.resolve() != pipelines.resolve():
                self.pipeline = (name, written)
        if not NAME.fullmatch(name):
            self.refuse(
                ("create_job",),
                f"the job's file name becomes its pipeline's name, which has {NAME_IN_WORDS}: "
                f"rename {file.name}",
            )
        self.say(("action", "pipeline"), name, ("create_job",))

    def _refuse_job(self, given: Any) -> None:
        named = given.get("job") if isinstance(given, Mapping) else given
        place: Place = ("create_job", "job") if isinstance(given, Mapping) else ("create_job",)
        if isinstance(named, str):
            self.refuse(
                place,
                f"{named} names a job of one workspace, which nobody can look into, check or move; "
                "put its YAML beside and name that file, as ./job.yml (`az ml job show` and the "
                "studio tell it)",
            )
        else:
            self.refuse(
                place, "create_job names the file of a pipeline job, as in create_job: ./job.yml"
            )

    def _inline(self, given: Mapping[str, Any]) -> Document:
        """A job that stands in the schedule itself, with its lines."""
        lines = {
            place[1:]: line
            for place, line in self.document.lines.items()
            if place and place[0] == "create_job"
        }
        return replace(self.document, content=dict(given), lines=lines, rewritten=True)

    def _bound(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """What a trigger's action says of it; the rest is the pipeline's, as AzureML merges it."""
        if given.get("type", "pipeline") != "pipeline":
            said = given["type"]
            self.refuse(
                ("create_job", "type"),
                f"AzureML's schedules start pipelines, and this is of type {said}; leave type out, "
                "and Signalbox makes a pipeline of the job",
            )
        rest = {key: value for key, value in given.items() if key not in ("type", "job")}
        for key, to, value in [*_of_action(rest)]:
            self.say(("action", *to), value, ("create_job", *key))
            *around, last = key
            part = rest
            for each in around:
                part = part[each]
            part.pop(last)
        return {key: value for key, value in rest.items() if value not in (None, {})}


def _of_action(
    given: dict[str, Any],
) -> Iterator[tuple[tuple[str, ...], tuple[str, ...], Any]]:
    """Place in a job, place in an action, and value of what an action can say.

    The mappings that it is taken out of are copied first.
    """
    for key in ("inputs", "settings"):
        if isinstance(given.get(key), Mapping):
            given[key] = dict(given[key])
    if isinstance(inputs := given.get("inputs"), dict):
        for name, value in [*inputs.items()]:
            plain = _plain_input(value)
            if plain is not None:
                yield ("inputs", name), ("inputs", name), plain
    if isinstance(tags := given.get("tags"), Mapping):
        yield ("tags",), ("tags",), _tags(tags)
    if isinstance(settings := given.get("settings"), dict):
        if isinstance(settings.get("force_rerun"), bool):
            yield ("settings", "force_rerun"), ("force_rerun",), settings["force_rerun"]
        if isinstance(compute := settings.get("default_compute"), str) and "compute" not in given:
            yield ("settings", "default_compute"), ("compute",), compute.removeprefix("azureml:")
    if isinstance(compute := given.get("compute"), str):
        yield ("compute",), ("compute",), compute.removeprefix("azureml:")
    if isinstance(experiment := given.get("experiment_name"), str):
        yield ("experiment_name",), ("experiment_name",), experiment


def _tags(tags: Mapping[Any, Any]) -> dict[str, str]:
    return {str(key): str(value) for key, value in tags.items()}


def _plain_input(value: Any) -> Any:
    """A value that an action can bind: a literal, or the address of data; None for another."""
    if isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping) and value.keys() <= {"type", "path"}:
        path = value.get("path")
        return path if isinstance(path, str) and path.startswith(_REMOTE) else None
    return None


def _merged(content: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """A job with what its schedule says otherwise, mapping by mapping."""
    made = dict(content)
    for key, value in over.items():
        known = made.get(key)
        both = isinstance(known, Mapping) and isinstance(value, Mapping)
        made[key] = _merged(known, value) if both else value  # type: ignore[arg-type]
    return made
