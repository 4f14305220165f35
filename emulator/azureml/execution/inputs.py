"""What a step is really given, once the steps before it are done."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from emulator.azureml.arm_ids import asset_id
from emulator.azureml.assets.models import AssetStore
from emulator.azureml.execution.plan import Plan, Step
from emulator.azureml.graphs.bindings import Binding, Data, NodeOutput, ParentInput, Text
from emulator.azureml.graphs.nodes import Node
from emulator.azureml.graphs.specs import FOLDER_TYPES, MODEL_TYPES, Component
from emulator.azureml.locations import Location, parse
from emulator.azureml.workspace import Workspace


@dataclass(frozen=True)
class DataInput:
    """Data to be laid down for a step."""

    location: Location
    type: str
    #: An output that a step before left empty is an empty folder, not a mistake.
    may_be_empty: bool

    @property
    def is_folder(self) -> bool:
        return self.type in FOLDER_TYPES


def child_inputs(
    node: Node,
    component: Component,
    outer: Mapping[str, Text | Data],
    produced: Callable[[str, str], str] | None = None,
) -> dict[str, Text | Data]:
    """What a pipeline that is a node gets from the pipeline around it, its defaults filled in.

    Without `produced`, outputs of nodes that have not run yet are data named by their binding.
    """
    found: dict[str, Text | Data] = {}
    for name, spec in component.inputs.items():
        binding = node.inputs.get(name)
        value: Text | Data | None = None
        match binding:
            case ParentInput():
                value = outer.get(binding.name)
            case NodeOutput():
                uri = f"${{{{parent.jobs.{binding.node}.outputs.{binding.name}}}}}"
                if produced:
                    uri = produced(binding.node, binding.name)
                value = Data(uri, spec.type, is_produced=True)
            case Text():
                value = Text(binding.filled(lambda key: _literal_of(outer, key)))
            case Data():
                value = binding
        if value is None and spec.default is not None:
            value = Text(spec.default)
        if value is not None:
            found[name] = value
    return found


def _literal_of(inputs: Mapping[str, Text | Data], name: str) -> str:
    value = inputs.get(name)
    return value.text if isinstance(value, Text) else ""


class StepInputs:
    """Resolves the inputs of the steps of one job.

    `produced` gives the address of a finished node's output.
    """

    def __init__(
        self,
        plan: Plan,
        workspace: Workspace,
        assets: AssetStore,
        produced: Callable[[str, str], str],
    ) -> None:
        self._plan = plan
        self._workspace = workspace
        self._assets = assets
        self._produced = produced

    def of(self, step: Step) -> dict[str, str | DataInput | None]:
        """Text for literals, data for the rest, None for an optional input without a value."""
        found: dict[str, str | DataInput | None] = {}
        for name, spec in step.component.inputs.items():
            value = self._value(step.node.inputs.get(name))
            if value is None and spec.default is not None:
                value = spec.default
            if isinstance(value, Data):
                found[name] = self._data(value.uri, spec.type, empty=value.is_produced)
            elif isinstance(value, NodeOutput):
                uri = self._produced(value.node, value.name)
                found[name] = self._data(uri, spec.type, empty=True)
            else:
                found[name] = value
        return found

    def text(self, text: str) -> str:
        """A text with `${{parent.inputs.x}}` filled in, such as an environment variable's."""
        return Text(text).filled(self._literal)

    def _value(self, binding: Binding | None) -> str | Data | NodeOutput | None:
        if isinstance(binding, ParentInput):
            given = self._plan.inputs.get(binding.name)
            return given.text if isinstance(given, Text) else given
        if isinstance(binding, Text):
            return binding.filled(self._literal)
        return binding

    def _literal(self, name: str) -> str:
        return _literal_of(self._plan.inputs, name)

    def _data(self, uri: str, kind: str, *, empty: bool) -> DataInput:
        plurals = ("models", "data") if kind in MODEL_TYPES else ("data", "models")
        for plural in plurals:
            named = asset_id(uri, self._workspace, kind=plural)
            if named:
                properties = self._assets.get(plural, named.name, named.version).properties
                uri = properties["dataUri" if plural == "data" else "modelUri"]
                break
        return DataInput(parse(uri, self._workspace), kind, empty)
