"""A job as one flat graph: what it would run, wherever that was said.

Two jobs that come to the same, one inline and one by a registered component, have the same graph
here: bindings to the pipeline's inputs are followed to their values, promoted computes to their
names, and code and environments to their contents.
"""

import re
from collections.abc import Mapping
from typing import Any

from emulator.azureml.arm_ids import asset_id, last_segment
from emulator.azureml.assets.models import AssetStore
from emulator.azureml.execution.plan import Plan, Step
from emulator.azureml.graphs.bindings import Binding, Data, NodeOutput, ParentInput, Text
from emulator.azureml.graphs.flows import FLOW_FILE
from emulator.azureml.jobs.models import Job
from emulator.azureml.workspace import Workspace

#: What a component is called and where it came from, which is nothing to what it does.
_CALLED = frozenset({"$schema", "_source", "id", "name", "properties", "sourceJobId", "version"})
#: Fields of a node that are told in their own way, or that say nothing about what it does.
_TOLD = frozenset(
    {"_source", "componentId", "computeId", "inputs", "name", "outputs", "trial", "type"}
)
#: What a job is besides its graph.
_OF_JOB = (
    "description",
    "displayName",
    "experimentName",
    "identity",
    "notificationSetting",
    "properties",
    "services",
    "tags",
)
#: What a node may say of an input or output beside where it is from or goes.
_OF_PORT = ("description", "mode", "path_on_compute")


class GraphView:
    """Shows the graphs of jobs."""

    def __init__(self, workspace: Workspace, assets: AssetStore) -> None:
        self._workspace = workspace
        self._assets = assets

    def of(self, job: Job) -> dict[str, Any]:
        """The job's graph as JSON; nodes of nested pipelines by their path, as `outer/inner`."""
        body, plan = job.body, job.plan
        nodes: dict[str, Any] = {}
        self._add(nodes, "", plan, {k: dict(v or {}) for k, v in _outputs(body).items()})
        settings = dict(body.get("settings") or {})
        # It may be said as the job's own compute, too.
        compute = settings.pop("default_compute", None) or body.get("computeId") or ""
        if datastore := settings.get("default_datastore"):
            settings["default_datastore"] = last_segment(str(datastore))
        outputs = _outputs(body)
        return {
            "kind": plan.kind,
            "job": _plain({key: body.get(key) for key in _OF_JOB}),
            "compute": last_segment(str(compute)),
            "inputs": {key: _value(value) for key, value in sorted(plan.inputs.items())},
            "outputs": {
                key: {**_plain(outputs.get(key) or {}), "type": plan.outputs[key]}
                for key in sorted(plan.outputs)
            },
            "settings": _plain(settings),
            "nodes": nodes,
            "bindings": _bound_outputs(plan),
        }

    def _add(
        self, nodes: dict[str, Any], prefix: str, plan: Plan, outputs: Mapping[str, Any]
    ) -> None:
        for step in plan.steps:
            path = f"{prefix}{step.name}"
            nodes[path] = self._node(step, plan, outputs)
            if step.child is not None:
                inner = {
                    key: _target(target.__dict__, outputs)
                    for key, target in step.node.outputs.items()
                }
                self._add(nodes, f"{path}/", step.child, inner)

    def _node(self, step: Step, plan: Plan, outputs: Mapping[str, Any]) -> Any:
        node, component = step.node, step.component
        spec = {k: v for k, v in component.spec.items() if k not in _CALLED and k != "jobs"}
        rest = {key: value for key, value in node.body.items() if key not in _TOLD}
        if isinstance(trial := node.body.get("trial"), Mapping):
            rest["trial"] = {key: value for key, value in trial.items() if key not in _TOLD}
        return _plain(
            {
                "type": node.type,
                "component": self._opened(spec),
                "compute": last_segment(step.compute),
                "inputs": {
                    key: found
                    for key, binding in sorted(node.inputs.items())
                    if (found := _resolved(binding, plan)) is not None
                },
                "outputs": {
                    key: _target(target.__dict__, outputs)
                    for key, target in sorted(node.outputs.items())
                },
                "ports": {
                    kind: {key: _port(given) for key, given in (node.body.get(kind) or {}).items()}
                    for kind in ("inputs", "outputs")
                },
                "settings": self._opened(_bindings_followed(rest, plan)),
            }
        )

    def _opened(self, value: Any) -> Any:
        """The value with ids of code and environments replaced by what they stand for."""
        if isinstance(value, Mapping):
            return {
                key: self._flow(inner) if key == FLOW_FILE else self._opened(inner)
                for key, inner in value.items()
            }
        if isinstance(value, list):
            return [self._opened(inner) for inner in value]
        if isinstance(value, str):
            for kind in ("codes", "environments"):
                named = asset_id(value, self._workspace, kind=kind) if "/" in value else None
                if named:
                    return self._content(kind, named.name, named.version)
        return value

    def _flow(self, address: str) -> Any:
        """The file of a flow: the code that it is in, and its name there."""
        for name in self._assets.names("codes"):
            for code in self._assets.versions("codes", name):
                folder = re.sub(r":\d+/", "/", str(code.properties["codeUri"])).rstrip("/")
                if address.startswith(f"{folder}/"):
                    content = self._content("codes", name, code.version)
                    return {**content, "file": address.removeprefix(f"{folder}/")}
        return address

    def _content(self, kind: str, name: str, version: str) -> Any:
        properties = self._assets.get(kind, name, version).properties
        if kind == "codes":
            hashes = properties["properties"]
            return {"hash": hashes.get("hash_sha256") or hashes or properties["codeUri"]}
        content = {
            key: properties.get(key)
            for key in ("image", "condaFile", "build", "inferenceConfig", "osType")
        }
        if not properties.get("isAnonymous"):
            content |= {"name": name, "version": version}
        return content


def _outputs(body: Mapping[str, Any]) -> Mapping[str, Any]:
    return body.get("outputs") or {}


def _port(given: Any) -> dict[str, Any]:
    """What a node says of a port, wherever it is bound to."""
    if not isinstance(given, Mapping):
        return {}
    kind = given.get("job_output_type")
    return {"type": kind, **{key: given.get(key) for key in _OF_PORT}}


def _bound_outputs(plan: Plan) -> dict[str, str]:
    """Which node's output each output of the pipeline is."""
    return {
        target.parent_output: f"{step.name}.{key}"
        for step in plan.steps
        for key, target in step.node.outputs.items()
        if target.parent_output is not None
    }


def _target(target: Mapping[str, Any], outputs: Mapping[str, Any]) -> Any:
    """Where an output goes in the end, following its binding to the pipeline's output."""
    bound = target.get("parent_output")
    own = {
        "uri": target.get("uri"),
        "mode": target.get("mode"),
        "name": target.get("asset_name"),
        "version": target.get("asset_version"),
    }
    if bound is None:
        return _plain(own)
    given = outputs.get(bound) or {}
    above = {
        "uri": given.get("uri"),
        "mode": given.get("mode"),
        "name": given.get("assetName") or given.get("name"),
        "version": given.get("assetVersion") or given.get("version"),
        "bound": bound,
    }
    return _plain({**own, **_plain(above)})


def _resolved(binding: Binding, plan: Plan) -> Any:
    match binding:
        case ParentInput():
            value = plan.inputs.get(binding.name)
            return None if value is None else _value(value)
        case NodeOutput():
            return {"from": f"{binding.node}.{binding.name}"}
        case Text() if any(name not in plan.inputs for name in binding.parent_inputs):
            return binding.text
        case Text():
            return binding.filled(lambda name: _said(plan.inputs[name]))
        case Data():
            return _value(binding)


def _value(value: Text | Data) -> Any:
    if isinstance(value, Text):
        return value.text
    return _plain({"uri": value.uri, "type": value.type, "mode": value.mode})


def _said(value: Text | Data) -> str:
    return value.text if isinstance(value, Text) else value.uri


def _bindings_followed(value: Any, plan: Plan) -> Any:
    """Settings with `${{parent.inputs.x}}` replaced by what the pipeline is given."""
    if isinstance(value, Mapping):
        return {key: _bindings_followed(inner, plan) for key, inner in value.items()}
    if isinstance(value, list):
        return [_bindings_followed(inner, plan) for inner in value]
    if isinstance(value, str) and "${{" in value:
        for name, given in plan.inputs.items():
            value = value.replace(f"${{{{parent.inputs.{name}}}}}", _said(given))
    return value


def _plain(value: Any) -> Any:
    """Without what is not there, at every depth; empty text is there."""
    if isinstance(value, Mapping):
        inner = {key: _plain(item) for key, item in value.items()}
        return {key: item for key, item in inner.items() if item not in (None, {}, [])}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
