"""A job, checked and ready to run: steps, their order, and what the job gives them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from emulator.azureml.graphs.bindings import Data, Text
from emulator.azureml.graphs.nodes import Node
from emulator.azureml.graphs.specs import Component, InputSpec

DEFAULT_DATASTORE = "workspaceblobstore"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One node to run."""

    node: Node
    component: Component
    compute: str
    timeout: timedelta | None
    #: Of a node that is a pipeline: its steps, with its own inputs as far as they are known.
    child: "Plan | None" = None

    @property
    def name(self) -> str:
        return self.node.name


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything the execution of a job needs to know."""

    #: "pipeline", or the type of a job that is one step.
    kind: str
    #: In an order that can run.
    steps: tuple[Step, ...]
    #: What the job gives its inputs; data or literals, defaults filled in.
    inputs: Mapping[str, Text | Data]
    input_specs: Mapping[str, InputSpec]
    #: Type of each output of the job.
    outputs: Mapping[str, str]
    #: Where the job wants its outputs; those without an address go to the default place.
    output_uris: Mapping[str, str]
    #: Name and version of the assets that the job wants its outputs registered as.
    output_names: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)
    #: Where outputs without an address go.
    default_datastore: str = DEFAULT_DATASTORE
    continue_on_step_failure: bool = False
    force_rerun: bool = False
