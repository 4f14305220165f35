"""From an event and an action to a job's body, or everything that stands in its way. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared import expressions
from shared.datastores import Datastores, rewritten
from shared.definitions import Action
from shared.errors import ExpressionInvalid, NothingFound, listed
from shared.events import Event
from shared.inputs import redacted, unsafe
from shared.published import PublishedPipeline
from shared.workspace import JobBody

#: The tag by which a job is known to be a run's.
RUN_TAG = "signalbox_run"
DEPLOYMENT_TAG = "signalbox_deployment"

#: AzureML's limit for a tag's value.
_TAG_LENGTH = 256
#: Characters of a job's display name.
_NAME_LENGTH = 255
_PROBLEM_LENGTH = 500


@dataclass(frozen=True, kw_only=True)
class Bound:
    """What an action is for one event; without problems it has a body."""

    body: JobBody | None
    #: Place -> what is wrong there.
    problems: Mapping[str, str] = field(default_factory=dict)
    #: What the run's concurrency key comes to; None without one.
    concurrency: str | None = None

    @property
    def text(self) -> str:
        """The problems on one line."""
        return "; ".join(f"{place}: {problem}" for place, problem in sorted(self.problems.items()))


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a job comes from, for whoever finds it in AzureML."""

    deployment: str
    trigger: str
    run_id: str
    event: Event
    #: The run that this one tries again.
    replay_of: str | None = None

    def tags(self, pipeline: PublishedPipeline) -> dict[str, str]:
        tags = {
            DEPLOYMENT_TAG: self.deployment,
            "signalbox_trigger": self.trigger,
            RUN_TAG: self.run_id,
            "signalbox_pipeline": f"{pipeline.name}@{pipeline.version}",
            "signalbox_event_id": self.event.id,
            "signalbox_event_source": self.event.source,
            "signalbox_event_subject": self.event.subject,
        }
        return tags | ({"signalbox_replay_of": self.replay_of} if self.replay_of else {})


def pipeline_of(action: Action, known: Mapping[str, Any]) -> str:
    """The pipeline an action names for an event. Raises ExpressionInvalid.

    What an event says is taken only when the action allows it.
    """
    if not action.computed:
        return action.pipeline
    named = expressions.evaluate(action.pipeline, known)
    if named not in action.allow:
        raise ExpressionInvalid(
            f"the event names the pipeline {redacted(str(named))[:100]!r}; allowed are: "
            f"{listed(action.allow)}"
        )
    return str(named)


def bind(
    action: Action,
    pipeline: PublishedPipeline,
    known: Mapping[str, Any],
    origin: Origin,
    datastores: Datastores,
) -> Bound:
    """Evaluate everything, so that all that is wrong is told at once."""
    problems: dict[str, str] = {}

    def found(place: str, template: Any, *, optional: bool = False) -> Any:
        try:
            return expressions.evaluate(template, known)
        except ExpressionInvalid as error:
            if not (optional and isinstance(error, NothingFound)):
                problems[place] = str(error)
            return None

    values = {
        name: _placed(
            found(f"inputs.{name}", template, optional=name in pipeline.optional),
            name in pipeline.data,
            datastores,
        )
        for name, template in action.inputs.items()
    }
    tags = {name: found(f"tags.{name}", value) for name, value in action.tags.items()}
    experiment = found("experiment_name", action.experiment_name)
    compute = found("compute", action.compute)
    for name, template in action.inputs.items():
        if f"inputs.{name}" not in problems and values[name] is not None:
            findings = map(expressions.as_text, expressions.findings(template, known))
            whys = [unsafe(text) for text in findings]
            problems |= {f"inputs.{name}": why for why in whys if why}
    inputs, unbound = pipeline.bind(
        {name: value for name, value in values.items() if value is not None}
    )
    problems = {f"inputs.{name}": problem for name, problem in unbound.items()} | problems
    if problems:
        # Who sent the event chose the values that these say.
        told = {redacted(name): redacted(why)[:_PROBLEM_LENGTH] for name, why in problems.items()}
        return Bound(body=None, problems=told)
    all_tags = {**pipeline.tags, **tags, **origin.tags(pipeline)}
    body = JobBody(
        component_id=pipeline.component_id,
        jobs=pipeline.jobs,
        inputs=inputs,
        outputs=pipeline.outputs,
        settings=_settings(action, pipeline, compute),
        experiment_name=_experiment(experiment, pipeline),
        display_name=_display_name(pipeline, origin),
        description=pipeline.description,
        properties=pipeline.properties,
        identity=pipeline.identity,
        tags={
            redacted(name): _one_line(redacted(expressions.as_text(value)))[:_TAG_LENGTH]
            for name, value in all_tags.items()
        },
    )
    return Bound(body=body)


def _placed(value: Any, is_data: bool, datastores: Datastores) -> Any:
    """Data where the workspace has a datastore for it, so that jobs read it with its identity."""
    return rewritten(value, datastores) if is_data and isinstance(value, str) else value


def _settings(action: Action, pipeline: PublishedPipeline, compute: Any) -> dict[str, Any]:
    settings = dict(pipeline.settings)
    if compute is not None:
        named = redacted(expressions.as_text(compute))
        settings["default_compute"] = named.removeprefix("azureml:")
    if action.force_rerun is not None:
        settings["force_rerun"] = action.force_rerun
    return settings


def _experiment(found: Any, pipeline: PublishedPipeline) -> str:
    if not found:
        return pipeline.experiment_name or pipeline.name
    return redacted(expressions.as_text(found))


def _display_name(pipeline: PublishedPipeline, origin: Origin) -> str:
    """What a person sees in AzureML Studio's list: the pipeline and what set it off."""
    title, event = pipeline.display_name or pipeline.name, origin.event
    place = event.blob
    what = place.path if place else event.subject or event.message_id or event.id
    return _one_line(redacted(f"{title}: {what}"))[:_NAME_LENGTH]


def _one_line(text: str) -> str:
    """Text as it is shown in lists: what cannot be printed is spelled."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
