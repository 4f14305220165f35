"""Turning the body of a job's PUT into a plan, or into the error the service would answer."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from emulator.azureml.arm_ids import last_segment
from emulator.azureml.assets.registration import Registrar
from emulator.azureml.computes.models import SERVERLESS
from emulator.azureml.computes.targets import Computes
from emulator.azureml.errors import NotImplementedHere, UserError
from emulator.azureml.execution.inputs import child_inputs
from emulator.azureml.execution.plan import DEFAULT_DATASTORE, Plan, Step
from emulator.azureml.graphs.bindings import Data, ParentInput, Text, read_binding
from emulator.azureml.graphs.nodes import Node, read_nodes
from emulator.azureml.graphs.rules import check_graph
from emulator.azureml.graphs.specs import Component, InputSpec, literal_text
from emulator.azureml.jobs.checks import check_given, check_values
from emulator.azureml.jobs.command_jobs import as_step
from emulator.azureml.jobs.errors import MissingInput
from emulator.azureml.workspace import Workspace

_JOB_FIELDS = frozenset(
    {
        "jobType",
        "componentId",
        "computeId",
        "displayName",
        "description",
        "tags",
        "properties",
        "experimentName",
        "jobs",
        "isArchived",
        "inputs",
        "outputs",
        "settings",
        "services",
        "status",
        "sourceJobId",
        "identity",
        "notificationSetting",
    }
)
#: Jobs of one step that are only recorded.
_OTHER_JOBS = frozenset({"AutoML", "FineTuning", "Labeling", "Spark", "Sweep"})
#: Others, known or not, are taken as they come, as the service does.
_REFUSED_SETTINGS = ("on_init", "on_finalize")
_DURATION = re.compile(
    r"P(?:(?P<days>\d+)D)?(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?"
    r"(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)


class Submission:
    """Checks a job against what is registered."""

    def __init__(self, registrar: Registrar, workspace: Workspace, computes: Computes) -> None:
        self._registrar = registrar
        self._workspace = workspace
        self._computes = computes

    def plan(self, name: str, body: Mapping[str, Any]) -> Plan:
        """The job's plan. Raises UserError, NotFound or NotImplementedHere, naming the part."""
        kind = str(body.get("jobType"))
        if kind == "Command":
            return self._command(name, body)
        if kind != "Pipeline":
            if kind not in _OTHER_JOBS or self._workspace.executes:
                raise NotImplementedHere(f"{kind} jobs")
            return self._recorded(kind, body)
        for field, value in body.items():
            if field not in _JOB_FIELDS and value not in (None, {}, []):
                raise NotImplementedHere(f"The field '{field}' of pipeline jobs", plural=False)
        settings = body.get("settings") or {}
        for setting in _REFUSED_SETTINGS:
            if settings.get(setting) and self._workspace.executes:
                raise NotImplementedHere(f"The setting '{setting}' of pipeline jobs", plural=False)
        return self._pipeline(f"pipeline job '{name}'", body, settings)

    def _pipeline(self, job: str, body: Mapping[str, Any], settings: Mapping[str, Any]) -> Plan:
        given = {
            key: _job_input(value, f"The input '{key}' of {job}")
            for key, value in (body.get("inputs") or {}).items()
        }
        outputs = body.get("outputs") or {}
        if body.get("componentId"):
            component = self._registrar.component(str(body["componentId"]), job)
            if component.type != "pipeline" and component.is_known:
                raise UserError(f"The component '{component.name}' of {job} is not a pipeline.")
            if not component.is_known:
                return self._unknown_pipeline(component, given, outputs, job)
            nodes = read_nodes(component.spec.get("jobs") or {})
            specs, output_types = component.inputs, component.outputs
            check_given(job, given, specs, outputs, output_types)
        else:
            nodes = read_nodes(body.get("jobs") or {})
            specs = {key: _spec_of(value) for key, value in given.items()}
            output_types = {
                key: str(value.get("jobOutputType", "uri_folder")) for key, value in outputs.items()
            }
        inputs: dict[str, Text | Data] = {
            key: Text(spec.default) for key, spec in specs.items() if spec.default is not None
        }
        inputs |= given
        default_compute = settings.get("default_compute") or body.get("computeId") or SERVERLESS
        return Plan(
            kind="pipeline",
            steps=self._steps(job, nodes, specs, output_types, inputs, str(default_compute)),
            inputs=inputs,
            input_specs=specs,
            outputs=output_types,
            output_uris={k: v["uri"] for k, v in outputs.items() if v and v.get("uri")},
            output_names={
                key: (str(value["assetName"]), value.get("assetVersion"))
                for key, value in outputs.items()
                if value and value.get("assetName")
            },
            default_datastore=self._datastore(settings, job),
            continue_on_step_failure=_flag(settings.get("continue_on_step_failure")),
            force_rerun=_flag(settings.get("force_rerun")),
        )

    def _steps(
        self,
        job: str,
        nodes: Mapping[str, Node],
        specs: Mapping[str, InputSpec],
        output_types: Mapping[str, str],
        inputs: Mapping[str, Text | Data],
        default_compute: str,
    ) -> tuple[Step, ...]:
        """The steps of one graph, those of its pipeline nodes among them."""
        components = self._registrar.components_of(nodes)
        order = check_graph(job, nodes, components, specs, output_types)
        steps = []
        for node_name in order:
            node, component = nodes[node_name], components[node_name]
            check_values(job, node, component, inputs)
            child = None
            if node.type == "pipeline" and component.is_known:
                child = self._child(node, component, inputs, default_compute)
            steps.append(
                Step(
                    node=node,
                    component=component,
                    compute=self._compute(node, inputs, default_compute, job),
                    timeout=_timeout(node, component),
                    child=child,
                )
            )
        return tuple(steps)

    def _child(
        self,
        node: Node,
        component: Component,
        outer: Mapping[str, Text | Data],
        default_compute: str,
    ) -> Plan:
        """The plan of a node that is a pipeline."""
        inputs = child_inputs(node, component, outer)
        return Plan(
            kind="pipeline",
            steps=self._steps(
                f"pipeline node '{node.name}'",
                read_nodes(component.spec.get("jobs") or {}),
                component.inputs,
                component.outputs,
                inputs,
                default_compute,
            ),
            inputs=inputs,
            input_specs=component.inputs,
            outputs=component.outputs,
            output_uris={},
        )

    def _unknown_pipeline(
        self,
        component: Component,
        given: Mapping[str, Text | Data],
        outputs: Mapping[str, Any],
        job: str,
    ) -> Plan:
        """A job of a registry's pipeline component, which can only be recorded."""
        if self._workspace.executes:
            raise NotImplementedHere(f"Components of registries ('{component.name}' of {job})")
        return Plan(
            kind="pipeline",
            steps=(),
            inputs=given,
            input_specs={},
            outputs=dict.fromkeys(outputs, "uri_folder"),
            output_uris={},
        )

    def _recorded(self, kind: str, body: Mapping[str, Any]) -> Plan:
        """A job that is kept as it came."""
        if body.get("computeId"):
            self._computes.check_target(str(body["computeId"]), f"{kind} job")
        return Plan(
            kind=kind.lower(), steps=(), inputs={}, input_specs={}, outputs={}, output_uris={}
        )

    def _command(self, name: str, body: Mapping[str, Any]) -> Plan:
        node, component = as_step(name, body, lenient=not self._workspace.executes)
        where = f"command job '{name}'"
        self._registrar.environment(component.spec["environment"], where)
        if component.spec.get("code"):
            self._registrar.referred("codes", component.spec["code"], where)
        step = Step(
            node=node,
            component=component,
            compute=self._compute(node, {}, SERVERLESS, where),
            timeout=_timeout(node, component),
        )
        return Plan(
            kind="command",
            steps=(step,),
            inputs={},
            input_specs={},
            outputs=component.outputs,
            output_uris={},
        )

    def _datastore(self, settings: Mapping[str, Any], job: str) -> str:
        name = last_segment(str(settings.get("default_datastore") or DEFAULT_DATASTORE))
        if name not in self._workspace.datastores:
            raise UserError(
                f"Unknown default datastore '{name}' in {job}. The workspace has: "
                f"{', '.join(self._workspace.datastores)}.",
                inner=("NotFound", "DatastoreNotFound"),
            )
        return name

    def _compute(
        self, node: Node, inputs: Mapping[str, Text | Data], default: str, job: str
    ) -> str:
        compute = node.compute or default
        if node.compute:
            binding = read_binding(node.compute, f"The compute of node '{node.name}'")
            if isinstance(binding, ParentInput):
                value = inputs.get(binding.name)
                if not isinstance(value, Text) or not value.text:
                    raise MissingInput(binding.name, job)
                compute = value.text
        self._computes.check_target(compute, f"node '{node.name}' of {job}")
        return compute


def _job_input(value: Mapping[str, Any], where: str) -> Text | Data:
    kind = str(value.get("jobInputType", "literal"))
    if kind == "literal":
        return Text(literal_text(value.get("value", "")))
    if not value.get("uri"):
        raise UserError(f"{where} has no uri.", inner=("BadArgument", "MissingInput"))
    return Data(str(value["uri"]), kind, value.get("mode"))


def _spec_of(value: Text | Data) -> InputSpec:
    return InputSpec(type="string" if isinstance(value, Text) else value.type)


def _timeout(node: Node, component: Component) -> timedelta | None:
    text = node.timeout or (component.spec.get("limits") or {}).get("timeout")
    if text in (None, ""):
        return None
    if str(text).isdigit():
        return timedelta(seconds=float(str(text)))
    match = _DURATION.fullmatch(str(text))
    if match is None or not any(match.groups()):
        raise UserError(f"The timeout {text!r} of node '{node.name}' is not an ISO 8601 duration.")
    return timedelta(
        days=float(match["days"] or 0),
        hours=float(match["hours"] or 0),
        minutes=float(match["minutes"] or 0),
        seconds=float(match["seconds"] or 0),
    )


def _flag(value: Any) -> bool:
    return str(value).lower() == "true"
