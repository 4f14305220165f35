"""What the service checks before it registers a version."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from emulator.azureml.arm_ids import asset_id
from emulator.azureml.assets.errors import BadAssetName
from emulator.azureml.assets.models import AssetStore, AssetVersion, next_version
from emulator.azureml.errors import NotImplementedHere, UserError
from emulator.azureml.graphs.flows import FLOW, as_parallel
from emulator.azureml.graphs.nodes import Node, own_component, read_nodes
from emulator.azureml.graphs.rules import check_graph, check_no_runtime_settings
from emulator.azureml.graphs.specs import Component, read_component, registry_component
from emulator.azureml.workspace import Workspace

_COMPONENT_NAME = re.compile(r"[a-z][a-z0-9_]{0,254}")
_OTHER_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,254}")
#: Where a component of each type says what it runs in, and with what.
_RUNS = {"command": (), "parallel": ("task",), "spark": ()}


class Registrar:
    """Registers assets and finds those that others refer to."""

    def __init__(
        self, store: AssetStore, workspace: Workspace, new_model: Callable[[AssetVersion], None]
    ) -> None:
        self._store = store
        self._workspace = workspace
        self._new_model = new_model

    def register(
        self, kind: str, name: str, version: str, properties: Mapping[str, Any]
    ) -> tuple[AssetVersion, bool]:
        """Check and store one version; the flag says whether it is new."""
        rule = _COMPONENT_NAME if kind == "components" else _OTHER_NAME
        if not rule.fullmatch(name):
            raise BadAssetName(kind, name, f"it must match {rule.pattern}")
        match kind:
            case "components":
                spec = properties.get("componentSpec")
                if isinstance(spec, Mapping) and spec.get("type") == FLOW:
                    properties = {**properties, "componentSpec": as_parallel(spec)}
                self._check_component(name, version, properties)
            case "environments":
                _check_environment(name, properties)
                if build := properties.get("build"):
                    path = build.get("dockerfilePath") or "Dockerfile"
                    properties = {**properties, "build": {**build, "dockerfilePath": path}}
            case "codes":
                _required(properties, "codeUri", f"code '{name}'")
            case "data":
                _required(properties, "dataUri", f"data asset '{name}'")
            case "models":
                _required(properties, "modelUri", f"model '{name}'")
                # the SDK reads them without a look whether they are there
                properties = {**properties, "flavors": properties.get("flavors") or {}}
        asset, is_new = self._store.put(kind, name, version, properties)
        if is_new and kind == "models":
            self._new_model(asset)
        return asset, is_new

    def register_next(self, kind: str, name: str, properties: Mapping[str, Any]) -> AssetVersion:
        """Register under the next free number."""
        version = next_version(self._store.versions(kind, name))
        return self.register(kind, name, version, properties)[0]

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
        """A registered component by its id; one of a registry is not looked into."""
        if "registries/" in text:
            return registry_component(text)
        asset = self.referred("components", text, where)
        return read_component(
            asset.properties["componentSpec"], name=asset.name, version=asset.version
        )

    def components_of(self, nodes: Mapping[str, Node]) -> dict[str, Component]:
        """The component of each node; of a sweep, that of its trial."""
        found = {}
        for name, node in nodes.items():
            if not node.component_id:
                found[name] = own_component(node)
                continue
            component = self.component(node.component_id, f"node '{name}'")
            wanted = "command" if node.type == "sweep" else node.type
            if component.is_known and component.type != wanted:
                raise UserError(
                    f"The node '{name}' is of type {node.type}, but its component "
                    f"'{component.name}' is of type {component.type}."
                )
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
        # The SDK sends an import as a command of that name, which has no environment.
        if component.type == "command" and _required(spec, "command", where) != "import":
            _required(spec, "environment", where)
        for path in ((), *_RUNS.get(component.type, ())):
            part = spec.get(path) or {} if path else spec
            if environment := part.get("environment"):
                self.environment(str(environment), where)
            if (code := part.get("code")) and "registries/" not in str(code):
                self.referred("codes", str(code), where)


def _check_environment(name: str, properties: Mapping[str, Any]) -> None:
    build = properties.get("build")
    if build and not build.get("contextUri"):
        raise UserError(f"The build of environment '{name}' has no contextUri.")
    if str(properties.get("osType") or "Linux") != "Linux":
        raise NotImplementedHere(f"Windows environments (environment '{name}')")
    if not (properties.get("image") or properties.get("condaFile") or build):
        raise UserError(f"The environment '{name}' has no image, condaFile or build.")
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
