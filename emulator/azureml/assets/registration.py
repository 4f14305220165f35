"""What the service checks before it registers a version."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from emulator.azureml.arm_ids import asset_id
from emulator.azureml.assets.errors import BadAssetName
from emulator.azureml.assets.models import AssetStore, AssetVersion
from emulator.azureml.errors import NotImplementedHere, UserError
from emulator.azureml.graphs.nodes import Node, read_nodes
from emulator.azureml.graphs.rules import check_graph, check_no_runtime_settings
from emulator.azureml.graphs.specs import Component, read_component
from emulator.azureml.workspace import Workspace

_COMPONENT_NAME = re.compile(r"[a-z][a-z0-9_]{0,254}")
_OTHER_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,254}")
_COMMAND_FIELDS = frozenset(
    {
        "name",
        "version",
        "display_name",
        "description",
        "type",
        "command",
        "code",
        "environment",
        "inputs",
        "outputs",
        "tags",
        "properties",
        "is_deterministic",
        "resources",
        "limits",
        "environment_variables",
        "_source",
        "$schema",
    }
)


class Registrar:
    """Registers assets and finds those that others refer to."""

    def __init__(self, store: AssetStore, workspace: Workspace) -> None:
        self._store = store
        self._workspace = workspace

    def register(
        self, kind: str, name: str, version: str, properties: Mapping[str, Any]
    ) -> tuple[AssetVersion, bool]:
        """Check and store one version; the flag says whether it is new."""
        rule = _COMPONENT_NAME if kind == "components" else _OTHER_NAME
        if not rule.fullmatch(name):
            raise BadAssetName(kind, name, f"it must match {rule.pattern}")
        match kind:
            case "components":
                self._check_component(name, version, properties)
            case "environments":
                _check_environment(name, properties)
            case "codes":
                _required(properties, "codeUri", f"code '{name}'")
            case "data":
                _required(properties, "dataUri", f"data asset '{name}'")
        return self._store.put(kind, name, version, properties)

    def referred(self, kind: str, text: str, where: str) -> AssetVersion:
        """The asset that `text` names; NotFound or UserError, saying where it was named."""
        found = asset_id(text, self._workspace, kind=kind)
        if found is None:
            raise UserError(f"{text!r} in {where} is not the id of one of this workspace's {kind}.")
        return self._store.get(kind, found.name, found.version)

    def environment(self, text: str, where: str) -> Mapping[str, Any]:
        """Properties of an environment; a curated one or one of a registry is only an image.

        Raises as `referred` does.
        """
        if "registries/" in text or text.startswith("azureml:AzureML"):
            return {"image": text}
        return self.referred("environments", text, where).properties

    def component(self, text: str, where: str) -> Component:
        """A registered component by its id."""
        asset = self.referred("components", text, where)
        return read_component(
            asset.properties["componentSpec"], name=asset.name, version=asset.version
        )

    def components_of(self, nodes: Mapping[str, Node]) -> dict[str, Component]:
        """The command component of each node."""
        found = {}
        for name, node in nodes.items():
            component = self.component(node.component_id, f"node '{name}'")
            if component.type != "command":
                raise NotImplementedHere(f"Nodes of {component.type} components (node '{name}')")
            found[name] = component
        return found

    def _check_component(self, name: str, version: str, properties: Mapping[str, Any]) -> None:
        spec = properties.get("componentSpec")
        if not isinstance(spec, Mapping):
            raise UserError(f"The component '{name}' has no componentSpec.")
        component = read_component(spec, name=name, version=version)
        if component.type == "pipeline":
            nodes = read_nodes(spec.get("jobs") or {})
            check_no_runtime_settings(name, spec, nodes)
            check_graph(
                f"pipeline component '{name}'",
                nodes,
                self.components_of(nodes),
                component.inputs,
                component.outputs,
            )
            return
        where = f"component '{name}'"
        for field, value in spec.items():
            if field not in _COMMAND_FIELDS and value not in (None, {}, []):
                raise NotImplementedHere(f"The field '{field}' of command {where}", plural=False)
        _required(spec, "command", where)
        self.environment(_required(spec, "environment", where), where)
        if spec.get("code"):
            self.referred("codes", spec["code"], where)


def _check_environment(name: str, properties: Mapping[str, Any]) -> None:
    if properties.get("build"):
        raise NotImplementedHere(f"Docker build contexts (environment '{name}')")
    if str(properties.get("osType") or "Linux") != "Linux":
        raise NotImplementedHere(f"Windows environments (environment '{name}')")
    if not properties.get("image") and not properties.get("condaFile"):
        raise UserError(f"The environment '{name}' has neither an image nor a condaFile.")
    try:
        conda = yaml.safe_load(properties.get("condaFile") or "{}")
    except yaml.YAMLError as error:
        raise UserError(f"The condaFile of environment '{name}' is not YAML: {error}") from error
    if not isinstance(conda, dict):
        raise UserError(f"The condaFile of environment '{name}' is not a mapping.")


def _required(properties: Mapping[str, Any], key: str, where: str) -> str:
    value = properties.get(key)
    if not isinstance(value, str) or not value:
        raise UserError(f"The {where} has no {key}.")
    return value
