"""From a pipelineJob YAML to what AzureML is told once: components, local data, one pipeline.

Pure: the same files give the same result, versions included, on every machine. Nothing here talks
to Azure.
"""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from shared import graphs, literals, wrapping
from shared.definitions import PipelineDefinition
from shared.documents import Document
from shared.errors import Problem
from shared.graphs import Graph
from shared.inputs import DATA_TYPES, DataInput, PipelineInput, compute_input
from shared.nodes import Node, mapping
from shared.registrations import (
    CompiledAsset,
    CompiledComponent,
    Pin,
    Registrations,
    as_written,
)
from shared.sources import local, version_of


@dataclass(frozen=True)
class CompiledPipeline:
    """What publish registers, and what a component cannot carry and each job must."""

    name: str
    #: In this order: a component comes after those it is made of.
    steps: tuple[CompiledComponent, ...]
    component: CompiledComponent
    inputs: dict[str, PipelineInput]
    outputs: dict[str, DataInput]
    #: Local files and folders that are inputs.
    assets: tuple[CompiledAsset, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    #: The compute of each step that has one of its own, by step.
    computes: dict[str, str] = field(default_factory=dict)
    #: The steps, when no component can carry them and each job does; and why.
    jobs: dict[str, Any] | None = None
    inline_because: tuple[str, ...] = ()
    experiment_name: str | None = None
    display_name: str | None = None
    description: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    #: Whose rights the job has, as in its document.
    identity: dict[str, Any] | None = None
    #: A component that was registered by others, which the job is one of.
    registered: str | None = None
    #: What AzureML takes and looks like a mistake.
    warnings: tuple[Problem, ...] = ()

    @property
    def version(self) -> str:
        return self.component.version

    @property
    def by_reference(self) -> bool:
        """Whether its own component is registered, for jobs to refer to."""
        return self.jobs is None and self.registered is None


def compile(definition: PipelineDefinition, pin: Pin = as_written) -> CompiledPipeline:
    """Compile one pipeline; `pin` is asked what each label stands for.

    Raises DefinitionsInvalid with everything that is wrong with it.
    """
    document = wrapping.wrapped(definition.document, definition.name)
    graph = graphs.load(document)
    source = document.content
    registrations = Registrations(definition.component_name, pin)
    jobs = {name: registrations.job(name, node) for name, node in graph.nodes.items()}
    why = _inline(graph)
    computes = {} if why else _computes(graph)
    for node, given in jobs.items():
        if why:
            jobs[node] = _with_assets(given, node, document, registrations)
        elif node in computes:
            given["compute"] = f"${{{{parent.inputs.{compute_input(node)}}}}}"
    inputs = {name: _input(graph, name, registrations) for name in _names(graph, "inputs")}
    outputs = {name: _output(graph, name) for name in _names(graph, "outputs")}
    pipeline = CompiledPipeline(
        name=definition.name,
        steps=tuple(registrations.components.values()),
        component=_component(definition, graph, inputs, outputs, computes, jobs),
        inputs=inputs,
        outputs=outputs,
        assets=tuple(registrations.assets.values()),
        settings=_settings(source),
        computes={node: _bare(compute) for node, compute in computes.items()},
        jobs=jobs if why else None,
        inline_because=tuple(why),
        experiment_name=source.get("experiment_name"),
        display_name=source.get("display_name"),
        description=source.get("description"),
        tags=_texts(source.get("tags")),
        properties=_texts(source.get("properties")),
        identity=source.get("identity"),
        registered=_reference(graph, pin),
        warnings=graph.warnings,
    )
    return _versioned(pipeline)


def _inline(graph: Graph) -> list[str]:
    """Why a pipeline component could not carry the jobs; empty when it can.

    Source: https://learn.microsoft.com/azure/machine-learning/how-to-use-pipeline-component
    """
    why = []
    for name, node in graph.nodes.items():
        if node.component is None:
            why.append(f"job {name!r} is of type {node.type}, which has no component")
        own = [port for port, given in _own_data(node)]
        if own:
            why.append(f"job {name!r} has data of its own: {', '.join(own)}")
    settings = mapping(graph.document.content.get("settings"))
    why += [
        f"settings.{name} names a job, which only a job with jobs in it can"
        for name in ("on_init", "on_finalize")
        if settings.get(name)
    ]
    return why


def _own_data(node: Node) -> list[tuple[str, dict[str, Any]]]:
    """The inputs for which a job names data, rather than what is given to the pipeline."""
    return [
        (port, given)
        for port, given in mapping(node.content.get("inputs")).items()
        if isinstance(given, dict) and not str(given.get("path", "${{")).startswith("${{")
    ]


def _with_assets(
    job: dict[str, Any], node: str, document: Document, registrations: Registrations
) -> dict[str, Any]:
    """A job whose local data is an asset."""
    inputs = dict(mapping(job.get("inputs")))
    for port, given in inputs.items():
        path = local(mapping(given).get("path"))
        if path is not None:
            kind = str(given.get("type", "uri_folder"))
            place = document.path.parent / path
            asset = registrations.asset(f"{node}_{port}", kind, place)
            inputs[port] = {**given, "path": asset}
    return {**job, **({"inputs": inputs} if inputs else {})}


def _computes(graph: Graph) -> dict[str, str]:
    """The computes that are fixed in the document, by job."""
    return {
        name: compute
        for name, node in graph.nodes.items()
        if isinstance(compute := node.content.get("compute"), str) and "${{" not in compute
    }


def _component(
    definition: PipelineDefinition,
    graph: Graph,
    inputs: dict[str, PipelineInput],
    outputs: dict[str, DataInput],
    computes: dict[str, str],
    jobs: dict[str, Any],
) -> CompiledComponent:
    """The pipeline component; its version comes when everything is known."""
    source = graph.document.content
    declared = graph.component.ports("inputs") if graph.component else {}
    document = {
        "type": "pipeline",
        "name": definition.component_name,
        "display_name": source.get("display_name") or definition.name,
        **({"description": source["description"]} if source.get("description") else {}),
        "inputs": {
            **{name: declared.get(name) or _port(value) for name, value in inputs.items()},
            **{compute_input(node): {"type": "string"} for node in computes},
        },
        "outputs": {name: {"type": value.type} for name, value in outputs.items()},
        "jobs": jobs,
    }
    return CompiledComponent(name=definition.component_name, version="", document=document)


def _port(value: PipelineInput) -> dict[str, Any]:
    port: dict[str, Any] = {"type": value.type}
    if value.default is not None:
        port["default"] = value.default
    return {**port, "optional": True} if value.optional else port


def _names(graph: Graph, kind: str) -> list[str]:
    """The pipeline's inputs or outputs: those it declares, and those it gives its component."""
    declared = graph.component.ports(kind) if graph.component else {}
    return list({**declared, **graph.declared(kind)})


def _input(graph: Graph, name: str, registrations: Registrations) -> PipelineInput:
    value = graph.declared("inputs").get(name)
    declared = mapping(graph.component.ports("inputs").get(name)) if graph.component else {}
    users = [declared] if declared else [graph.port(user) for user in graph.users_of_input(name)]
    kind = declared.get("type")
    # Whoever is given nothing must do without.
    optional = bool(users) and all(literals.flag(port.get("optional")) for port in users)
    if isinstance(value, dict) or kind in DATA_TYPES:
        given = value if isinstance(value, dict) else {"path": value}
        kind = str(given.get("type") or kind or "uri_folder")
        path = given.get("path")
        if (place := local(path)) is not None:
            path = registrations.asset(name, kind, graph.document.path.parent / place)
        mode = given.get("mode") or declared.get("mode")
        return PipelineInput(type=kind, path=path, mode=mode, optional=optional and path is None)
    if value is None and declared:
        value = declared.get("default")
    return PipelineInput(
        type=kind or _literal_type(graph, name, value),
        default=value,
        optional=optional and value is None,
        **literals.narrowest(users),
    )


def _literal_type(graph: Graph, name: str, value: Any) -> str:
    """The type the steps expect; where they do not say or disagree, the type of the value."""
    expected = {str(graph.port(user).get("type")) for user in graph.users_of_input(name)}
    if len(expected) == 1 and expected != {"None"}:
        return expected.pop()
    match value:
        case bool():
            return "boolean"
        case int():
            return "number" if "number" in expected else "integer"
        case float():
            return "number"
        case _:
            return "string"


def _output(graph: Graph, name: str) -> DataInput:
    given = mapping(graph.declared("outputs").get(name))
    if graph.component:
        given = {**mapping(graph.component.ports("outputs").get(name)), **given}
    made = [graph.port(maker) for maker in graph.makers_of_output(name)]
    # The oldest components write a path, which no job can have as an output.
    kinds = (port["type"] for port in made if port.get("type") in DATA_TYPES)
    expected = next(kinds, "uri_folder")
    version = given.get("version")
    return DataInput(
        type=given.get("type") or expected,
        path=given.get("path"),
        mode=given.get("mode"),
        name=given.get("name"),
        version=None if version is None else str(version),
    )


def _settings(source: dict[str, Any]) -> dict[str, Any]:
    """Settings as a job object takes them: without the prefix that YAML references have."""
    settings = {
        name: _bare(value) if name in ("default_compute", "default_datastore") else value
        for name, value in mapping(source.get("settings")).items()
    }
    # The same to AzureML, but naming it there costs each job a request.
    if (compute := source.get("compute")) and not settings.get("default_compute"):
        settings["default_compute"] = _bare(str(compute))
    return settings


def _bare(reference: Any) -> Any:
    """A reference without its prefix; one that is none as it is."""
    return reference.removeprefix("azureml:") if isinstance(reference, str) else reference


def _texts(values: Any) -> dict[str, str]:
    return {name: str(value) for name, value in mapping(values).items()}


def _reference(graph: Graph, pin: Pin) -> str | None:
    component = graph.component.component if graph.component else None
    return pin("component", component) if isinstance(component, str) else None


def _versioned(pipeline: CompiledPipeline) -> CompiledPipeline:
    """The pipeline under the version that its whole content has, job settings included."""
    everything = {
        name: value
        for name, value in asdict(pipeline).items()
        if name not in ("steps", "assets", "warnings", "inline_because")
    }
    for ports in ("inputs", "outputs"):
        everything[ports] = {name: port.model_dump() for name, port in everything[ports].items()}
    version = version_of(everything)
    component = pipeline.component
    document = {**component.document, "version": version}
    return replace(pipeline, component=replace(component, version=version, document=document))
