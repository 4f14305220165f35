"""What a registered component declares: inputs, outputs and, for a command, what it runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emulator.azureml.errors import NotImplementedHere, UserError
from emulator.azureml.graphs.flows import is_flow

LITERAL_TYPES = frozenset({"string", "number", "integer", "boolean"})
MODEL_TYPES = frozenset({"custom_model", "mlflow_model", "triton_model"})
#: Of the oldest components, which the service still takes: a folder or a file, whichever comes.
#: Source: azure-ai-ml's `LegacyAssetTypes`; no job may use it (RAI-vNext-Preview#194).
LEGACY_PATH = "path"
#: What may turn out to be one file.
EITHER_TYPES = MODEL_TYPES | {LEGACY_PATH}
FOLDER_TYPES = EITHER_TYPES | {"uri_folder", "mltable"}
DATA_TYPES = FOLDER_TYPES | {"uri_file"}
#: What a component can be; the value is how the type is called in a refusal to run it.
COMPONENT_TYPES: Mapping[str, str] = {
    "command": "Command",
    "parallel": "Parallel",
    "pipeline": "Pipeline",
    "spark": "Spark",
    "automl": "AutoML",
    "import": "Import",
    "data_transfer": "Data transfer",
}


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """One declared input."""

    type: str
    optional: bool = False
    default: str | None = None
    minimum: float | None = None
    maximum: float | None = None

    @property
    def is_literal(self) -> bool:
        return self.type in LITERAL_TYPES

    @property
    def is_required(self) -> bool:
        return not self.optional and self.default is None

    def check(self, value: str, where: str) -> None:
        """Raise UserError when the literal `value` is not of the declared type.

        An `enum` refuses nothing: all literals come as text, and Azure's own densenet sample,
        which is submitted twice a day, gives 224 to an input of `enum: ['True', 'False']`.
        """
        expected = {"integer": int, "number": float}.get(self.type)
        if expected:
            try:
                number = expected(value)
            except ValueError:
                raise _wrong(where, value, f"is not of type {self.type}") from None
            if self.minimum is not None and number < self.minimum:
                raise _wrong(where, value, f"is below the minimum {self.minimum:g}")
            if self.maximum is not None and number > self.maximum:
                raise _wrong(where, value, f"is above the maximum {self.maximum:g}")
        if self.type == "boolean" and value.lower() not in ("true", "false"):
            raise _wrong(where, value, "is not of type boolean")


@dataclass(frozen=True, kw_only=True)
class Component:
    """A registered component, read from its `componentSpec`."""

    name: str
    version: str
    type: str
    display_name: str | None
    inputs: Mapping[str, InputSpec]
    outputs: Mapping[str, str]
    spec: Mapping[str, Any]
    #: False for a component of a registry, whose inputs and outputs are not known here.
    is_known: bool = True
    #: Whether it takes text under names that it does not declare.
    is_open: bool = False


def read_component(spec: Mapping[str, Any], *, name: str, version: str) -> Component:
    """A component from the wire. Raises UserError or NotImplementedHere, naming the part."""
    kind = str(spec.get("type", "command")).lower()
    if kind not in COMPONENT_TYPES:
        raise NotImplementedHere(f"Components of type {kind!r}")
    return Component(
        name=name,
        version=version,
        type=kind,
        display_name=spec.get("display_name"),
        inputs={
            key: read_input(value, f"input '{key}' of component '{name}'")
            for key, value in (spec.get("inputs") or {}).items()
        },
        outputs={
            key: _output_type(value, f"output '{key}' of component '{name}'")
            for key, value in (spec.get("outputs") or {}).items()
        },
        spec=spec,
        is_open=is_flow(spec),
    )


def read_input(value: Mapping[str, Any], where: str) -> InputSpec:
    declared = str(value.get("type", "string"))
    if declared not in LITERAL_TYPES | DATA_TYPES:
        raise NotImplementedHere(f"{where.capitalize()} of type {declared!r}", plural=False)
    if declared in DATA_TYPES and value.get("default") is not None:
        raise UserError(f"The {where} is data, and data inputs cannot have a default.")
    default = value.get("default")
    return InputSpec(
        type=declared,
        optional=_flag(value.get("optional")),
        default=None if default is None else literal_text(default),
        minimum=_limit(value.get("min")),
        maximum=_limit(value.get("max")),
    )


def registry_component(text: str) -> Component:
    """A component that is only known by its address in a registry."""
    return Component(
        name=text,
        version="",
        type="registry",
        display_name=None,
        inputs={},
        outputs={},
        spec={"type": "registry", "address": text},
        is_known=False,
    )


def literal_text(value: Any) -> str:
    """A literal as a command line gets it; the SDK sends most of them as text already."""
    return value if isinstance(value, str) else str(value)


def _output_type(value: Mapping[str, Any], where: str) -> str:
    declared = str(value.get("type", "uri_folder"))
    if declared not in DATA_TYPES:
        raise NotImplementedHere(f"{where.capitalize()} of type {declared!r}", plural=False)
    return declared


def _flag(value: Any) -> bool:
    return str(value).lower() == "true"


def _limit(value: Any) -> float | None:
    return None if value is None else float(value)


def _wrong(where: str, value: str, problem: str) -> UserError:
    return UserError(
        f"The value {value!r} of {where} {problem}.", inner=("BadArgument", "InvalidInputValue")
    )
