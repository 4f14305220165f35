"""What is wrong with a trigger beyond the shape of its document.

Expressions that cannot find anything, pipelines and inputs that are not there, loops, secrets.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from shared import expressions, groups, native_triggers
from shared.datastores import Datastores
from shared.definitions import Action, TriggerDefinition, TriggerFile
from shared.documents import Place, texts
from shared.errors import Problem, listed
from shared.events import Event
from shared.inputs import DATA_TYPES, DataInput, PipelineInput, secret
from shared.paths import PathPattern
from shared.specs import BlobSpec, NewBlobs, Spec
from shared.triggers import OF_A_TIME

#: What a pipeline takes, and what it writes.
Ports = tuple[Mapping[str, PipelineInput], Mapping[str, DataInput]]
#: The pipelines there are; None for one whose ports are not known.
Pipelines = Mapping[str, Ports | None]

#: What a schedule has in place of an event.
_NO_EVENT = {
    "event": "which no schedule has: a time came, and nothing else happened",
    "captures": "which no schedule has: there is no path that captures anything",
}

#: An input that is the manifest of a batch, or of the uploads that a schedule waits for.
_MANIFEST = re.compile(r"\s*\$\{\{\s*manifest\s*\}\}\s*")

_SECRET_NAME = re.compile(
    r"(^|_)(password|passwd|secret|api_?key|access_?key|account_?key|connection_?string|sas_token|"
    r"auth_token|access_token)$",
    re.IGNORECASE,
)


def check(
    file: TriggerFile,
    pipelines: Pipelines,
    listens: Collection[str],
    datastores: Datastores | None = None,
) -> list[Problem]:
    """Every problem of one trigger.

    `pipelines` are those it may name, `listens` is what the app takes messages from, as
    `Event.via` spells it, `datastores` are those that cover storage accounts.
    """
    trigger = file.trigger
    places = [
        *_pattern(trigger),
        *_entity(trigger, listens),
        *_batch(trigger),
        *_expressions(trigger),
        *native_triggers.problems(trigger, file.document),
        *_secrets(trigger),
        *_action(trigger, pipelines),
        *_loops(trigger, pipelines, datastores or {}),
    ]
    return [file.document.problem(place, message) for place, message in places]


def unbound(trigger: TriggerDefinition, pipelines: Pipelines) -> list[str]:
    """Why a published trigger fits its pipelines no more; another publish may have changed them."""
    return [message for _, message in _action(trigger, pipelines)]


_Problems = Iterator[tuple[Place, str]]


def _pattern(trigger: TriggerDefinition) -> _Problems:
    spec = trigger.spec
    if (watched := _watched(spec)) is not None:
        place, pattern = (*_WATCHED[spec.source], "path"), watched.path
    elif spec.pattern is not None:
        place, pattern = ("spec", "event", "subject"), spec.pattern
    else:
        return
    try:
        PathPattern.parse(pattern)
    except ValueError as error:
        yield place, f"{place[-1]} {error}"
    if watched is not None and pattern.startswith("/"):
        yield place, "path begins with '/'; paths start inside the container"


#: Where a document says which uploads are watched, by source.
_WATCHED = {
    "blob": ("spec", "blob"),
    "schedule": ("spec", "schedule", "only_if", "new_blobs"),
}


def _watched(spec: Spec) -> BlobSpec | NewBlobs | None:
    """The uploads that something is started for."""
    only_if = spec.schedule.only_if if spec.schedule else None
    return spec.blob or (only_if.new_blobs if only_if else None)


def _entity(trigger: TriggerDefinition, listens: Collection[str]) -> _Problems:
    """Messages that the app does not take reach no trigger."""
    spec = trigger.spec.service_bus
    if spec and spec.via not in listens:
        yield (
            ("spec", "service_bus", "queue" if spec.queue is not None else "topic"),
            f"the app takes messages from {_entities(listens)} only; name one of these here, or "
            "let the app listen to this one (SIGNALBOX_EVENTS_QUEUE, SIGNALBOX_EVENTS_TOPIC and "
            "SIGNALBOX_EVENTS_SUBSCRIPTION)",
        )


def _entities(listens: Collection[str]) -> str:
    """`queue/a` and `topic/b/c` as a reader calls them."""
    return " and ".join(via.replace("/", " ", 1) for via in sorted(listens)) or "nowhere"


def _batch(trigger: TriggerDefinition) -> _Problems:
    """Events that can be told apart by what they are grouped by."""
    spec, batch = trigger.spec, trigger.policies.batch
    place = ("policies", "batch")
    if batch is None:
        return
    if spec.run:
        yield place, "the end of a run is one event for one run; leave batch out"
        return
    captures = _captures(spec.pattern)
    if captures is None:
        return
    if missing := [name for name in batch.group_by if name not in captures]:
        there = f"it has {listed(sorted(captures))}" if captures else "it has none"
        what = "path" if spec.blob else "subject"
        yield (
            (*place, "group_by"),
            f"group_by names {listed(missing)}, which is no capture of the {what}; {there}",
        )
    elif batch.release_on and spec.pattern and not groups.folders(spec.pattern, batch.group_by):
        yield (
            (*place, "release_on"),
            f"where such an event lies does not tell its group: {listed(batch.group_by)} must be "
            f"captured by folders of {spec.pattern}, not by its last part",
        )


def _expressions(trigger: TriggerDefinition) -> _Problems:
    spec, batch = trigger.spec, trigger.policies.batch
    if native_triggers.is_native(spec):
        # AzureML evaluates none; what there is instead is checked with everything it cannot do.
        return
    roots = {
        # Other sources have attributes of their own.
        "event": frozenset(Event.model_fields) if spec.blob or spec.run else None,
        "captures": _captures(spec.pattern),
        "settings": None,
    }
    absent: dict[str, str] = {}
    if spec.where is not None:
        for message in expressions.check_condition(spec.where, roots):
            yield ("spec", "where"), message
    if spec.schedule:
        there = (*OF_A_TIME, "manifest") if spec.schedule.only_if else OF_A_TIME
        roots = {**dict.fromkeys(there, frozenset[str]()), "settings": None}
        absent = _NO_EVENT
    if batch is not None:
        # One run is for many events: what they have in common, and where they are listed.
        roots = {"group": frozenset(batch.group_by), "manifest": frozenset(), "settings": None}
    for where, text in _templates(trigger.action):
        for message in expressions.check(text, roots, absent):
            yield where, message
    if (key := trigger.policies.concurrency.key) is not None:
        # Which batch it is does not say which others it shares a limit with.
        known = {name: members for name, members in roots.items() if name != "manifest"}
        for message in expressions.check(key, known, absent):
            yield ("policies", "concurrency", "key"), message


def _captures(pattern: str | None) -> frozenset[str] | None:
    """What a pattern captures; None when it cannot be read, which is told as its own mistake."""
    if pattern is None:
        return frozenset()
    try:
        return PathPattern.parse(pattern).captures
    except ValueError:
        return None


def _templates(action: Action) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every text that may hold expressions, with its place in the document."""
    texts: dict[tuple[str, ...], object] = {
        **{("action", "inputs", name): value for name, value in action.inputs.items()},
        **{("action", "tags", name): value for name, value in action.tags.items()},
        ("action", "pipeline"): action.pipeline,
        ("action", "compute"): action.compute,
        ("action", "experiment_name"): action.experiment_name,
    }
    for place, text in texts.items():
        if isinstance(text, str):
            yield place, text


def _secrets(trigger: TriggerDefinition) -> _Problems:
    for place, text in (*_templates(trigger.action), *_shown(trigger)):
        if secret(text) or _named_secret(place, text):
            yield (
                place,
                f"{place[-1]} looks like a secret, which everybody in the workspace could read; "
                "keep it in a key vault and let the step fetch it with its identity",
            )


def _shown(trigger: TriggerDefinition) -> Iterator[tuple[Place, str]]:
    """Every text that AzureML's studio shows of a schedule, with its place in the document."""
    schedule = trigger.spec.schedule
    if schedule is not None and schedule.studio is not None:
        for place, text in texts(schedule.studio.model_dump()):
            yield ("spec", "schedule", "studio", *place), text


def _action(trigger: TriggerDefinition, pipelines: Pipelines) -> _Problems:
    """A trigger names pipelines that are there, and binds inputs that they have."""
    action = trigger.action
    for reference in action.pipelines:
        known = pipelines.get(reference)
        if reference not in pipelines:
            there = listed(sorted(pipelines))
            place = ("action", "allow" if action.computed else "pipeline")
            yield place, f"no pipeline is named {reference!r}; there are: {there}"
        elif known is not None:
            yield from _inputs(action, reference, known[0])
            if trigger.policies.batch is not None or _looks(trigger):
                yield from _manifest(action, known[0])


def _looks(trigger: TriggerDefinition) -> bool:
    """Whether it looks for uploads when it is due."""
    return trigger.spec.schedule is not None and trigger.spec.schedule.only_if is not None


def _manifest(action: Action, inputs: Mapping[str, PipelineInput]) -> _Problems:
    """A manifest is one file."""
    for name, value in action.inputs.items():
        declared = inputs[name].type if name in inputs else "uri_file"
        if _MANIFEST.fullmatch(str(value)) and declared in DATA_TYPES - {"uri_file"}:
            yield (
                ("action", "inputs", name),
                f"{name} is of type {declared}, and the manifest is one file: declare it as "
                "uri_file in the pipeline",
            )


def _inputs(action: Action, pipeline: str, inputs: Mapping[str, PipelineInput]) -> _Problems:
    for name, value in action.inputs.items():
        place = ("action", "inputs", name)
        if name not in inputs:
            there = listed(sorted(inputs))
            yield place, f"{pipeline} has no input {name!r}; it has: {there}"
        elif "${{" not in str(value):
            try:
                inputs[name].take(value)
            except ValueError as error:
                yield place, f"{name}: {error}"
    for name, declared in inputs.items():
        if declared.required and name not in action.inputs:
            yield (
                ("action", "inputs"),
                f"{pipeline} needs the input {name!r} ({declared.type}) and has no default for it; "
                "bind it here",
            )


def _loops(trigger: TriggerDefinition, pipelines: Pipelines, datastores: Datastores) -> _Problems:
    """A run that makes the event that starts it again."""
    spec, action = trigger.spec, trigger.action
    if spec.run and spec.where is None:
        again = [name.partition("@")[0] for name in action.pipelines]
        of_itself = spec.run.trigger == trigger.name
        if of_itself or (spec.run.trigger is None and spec.run.pipeline in (None, *again)):
            yield (
                ("spec", "run"),
                f"the runs it starts would start it again, {trigger.policies.max_depth} times over "
                "(policies.max_depth); name another pipeline, or say in `where` when to go on",
            )
    if (watched := _watched(spec)) is not None:
        then = "each run would start the next" if spec.blob else "each run would be new to the next"
        for reference in action.pipelines:
            _, outputs = pipelines.get(reference) or ({}, {})
            for name, output in outputs.items():
                if _within(output.path, watched, datastores):
                    yield (
                        (*_WATCHED[spec.source], "path"),
                        f"{reference} writes its output {name!r} to {output.path}, where this "
                        f"trigger watches: {then}; write it elsewhere",
                    )


def circles(files: Sequence[TriggerFile]) -> list[Problem]:
    """Triggers that start one another in a circle, each by the end of the other's run.

    One that starts itself is told by `check`. One with a `where` may end the circle.
    """
    starts = {
        file.trigger.name: [
            other.trigger.name for other in files if _follows(other.trigger, file.trigger)
        ]
        for file in files
    }
    problems, told = [], set[str]()
    for file in files:
        name = file.trigger.name
        way = _way_back(name, starts)
        if name not in told and len(way) > 2:
            told.update(way)
            problems.append(
                file.document.problem(
                    ("spec", "run"),
                    f"{' -> '.join(way)}: each run would start the next, and the last one the "
                    "first, until policies.max_depth; say in a `where` when to go on",
                )
            )
    return problems


def _follows(next: TriggerDefinition, trigger: TriggerDefinition) -> bool:
    """Whether runs of a trigger start the other one whatever comes of them."""
    run = next.spec.run
    if run is None or next.spec.where is not None:
        return False
    pipelines = [name.partition("@")[0] for name in trigger.action.pipelines]
    return run.trigger in (None, trigger.name) and (run.pipeline in (None, *pipelines))


def _way_back(name: str, starts: Mapping[str, Sequence[str]]) -> list[str]:
    """The shortest way from a trigger to itself; [] when there is none."""
    ways, seen = [[name]], set[str]()
    while ways:
        way = ways.pop(0)
        for following in starts[way[-1]]:
            if following == name:
                return [*way, name]
            if following not in seen:
                seen.add(following)
                ways.append([*way, following])
    return []


_HTTPS = re.compile(r"https://([a-z0-9]+)(?:\.z\d+)?\.(?:blob|dfs)\.[^/]+/([^/]+)(?:/(.*))?")
_WASBS = re.compile(r"(?:wasbs|abfss)://([^@/]+)@([a-z0-9]+)\.[^/]+(?:/(.*))?")
_DATASTORE = re.compile(r"azureml://datastores/([^/]+)/paths(?:/(.*))?")


def _within(path: str | None, blob: BlobSpec | NewBlobs, datastores: Datastores) -> bool:
    """Whether what is written to an output's path may be what is watched."""
    watched_place = f"{blob.account}/{blob.container}"
    if found := _HTTPS.fullmatch(path or ""):
        account, container, written = found.groups()
        place = f"{account}/{container}"
    elif found := _WASBS.fullmatch(path or ""):
        container, account, written = found.groups()
        place = f"{account}/{container}"
    elif found := _DATASTORE.fullmatch(path or ""):
        name, written = found.groups()
        place = watched_place if datastores.get(watched_place) == name else ""
    else:
        return False
    if place != watched_place or _captures(blob.path) is None:
        return False
    # Files come below the path. What a placeholder stands for is not known.
    *folders, last = (written or "").partition("${{")[0].split("/")
    watched = blob.path.split("/")
    if len(folders) >= len(watched):
        return False
    if folders and PathPattern("/".join(watched[: len(folders)])).match("/".join(folders)) is None:
        return False
    literal = PathPattern(watched[len(folders)]).prefix
    return literal.startswith(last) or last.startswith(literal)


def secrets_of(content: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Where a pipeline's document holds what is a secret by its form, or by its key's name."""
    for place, text in texts(content):
        if secret(text):
            holds = "holds a secret (a key, a token or a signed address)"
        elif _named_secret(place, text):
            holds = "looks like a secret"
        else:
            continue
        yield (
            place,
            f"{'.'.join(map(str, place))} {holds}, which everybody who sees the job could read; "
            "let the step fetch it with its identity",
        )


def _named_secret(place: Sequence[str | int], text: str) -> bool:
    """Whether plain text stands under a key that names a secret, or is the default of one."""
    *above, key = place or ("",)
    name = above[-1] if above and key == "default" else key
    plain = bool(text) and "${{" not in text
    return plain and _SECRET_NAME.search(str(name)) is not None
