"""A folder of other people's pipelines made whole: what they name and is not there is put there."""

import io
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from azure.ai.ml import MLClient, load_component
from azure.ai.ml.entities import (
    AmlCompute,
    CommandComponent,
    Data,
    Environment,
    Model,
    ParallelComponent,
)
from azure.core.exceptions import HttpResponseError

_REMOTE = re.compile(r"azureml:|[a-z][a-z0-9+.-]+://|git\+|\$\{\{")
_TABLE = "paths:\n  - file: ./rows.csv\ntransformations:\n  - read_delimited: {}\n"
_NAMED = re.compile(r"azureml:([^/:@]+)(?::([^/:@]+)|@latest)?")
_MODELS = ("custom_model", "mlflow_model", "triton_model")


@dataclass(frozen=True)
class Sample:
    """One pipelineJob file."""

    file: Path
    content: dict[str, Any]


def samples(folder: Path) -> list[Sample]:
    """Every pipelineJob below a folder; what others of them name is a component."""
    read: dict[Path, dict[str, Any]] = {}
    for file in sorted([*folder.rglob("*.yml"), *folder.rglob("*.yaml")]):
        try:
            content = yaml.safe_load(file.read_text())
        except (yaml.YAMLError, UnicodeDecodeError):
            continue
        if isinstance(content, dict):
            read[file] = content
    components = {
        (file.parent / value.removeprefix("file:")).resolve()
        for file, content in read.items()
        for key, value, _ in _texts(content)
        if key in ("component", "trial") and not _REMOTE.match(value)
    }
    return [
        Sample(file=file, content=content)
        for file, content in read.items()
        if _is_pipeline_job(content) and file.resolve() not in components
    ]


def whole_copy(corpus: Path, place: Path) -> Path:
    """A copy of the corpus with placeholders for absent code and data.

    It lies deep, so that what a file names in folders above its corpus stays in `place`.
    """
    folder = place / "a/b/c/d/e/f/corpus"
    shutil.copytree(corpus, folder, copy_function=shutil.copyfile)
    for sample in samples(folder):
        text = sample.file.read_text()
        # Names that whoever copies a file is asked to fill in.
        sample.file.write_text(re.sub(r"<[A-Z_]+>", "filled-in", text))
    for sample in samples(folder):
        _fill(sample.file, sample.content, place.resolve())
    return folder


def _is_pipeline_job(content: dict[str, Any]) -> bool:
    schema = str(content.get("$schema", ""))
    if "pipelineJob" in schema:
        return True
    has_jobs = "jobs" in content or "component" in content
    return not schema and content.get("type") == "pipeline" and has_jobs


def _fill(file: Path, content: Any, within: Path) -> None:
    """Put there what a document names, and what the component files it names do."""
    for key, value, around in _texts(content):
        if _REMOTE.match(value):
            continue
        path = file.parent / value.removeprefix("file:")
        if key in ("component", "trial") and path.is_file():
            _fill(path, yaml.safe_load(path.read_text()), within)
        elif key in ("path", "code", "conda_file") and path.resolve().is_relative_to(within):
            _place(path.resolve(), str(around.get("type")) if key == "path" else key)


def _place(path: Path, kind: str) -> None:
    if kind == "conda_file":
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("dependencies: [python=3.13]\n")
        return
    is_file = kind == "uri_file" or (kind == "None" and path.suffix != "")
    if path.exists() and (path.is_file() or any(path.iterdir())):
        if kind == "mltable" and not (path / "MLTable").exists():
            (path / "MLTable").write_text(_TABLE)
        return
    if is_file:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("placeholder\n")
        return
    path.mkdir(parents=True, exist_ok=True)
    (path / ("MLTable" if kind == "mltable" else "placeholder.txt")).write_text(_TABLE)


def _texts(content: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every text in a document with its key and the mapping it stands in."""
    match content:
        case dict():
            for key, value in content.items():
                if isinstance(value, str):
                    yield str(key), value, content
                else:
                    yield from _texts(value)
        case list():
            for value in content:
                yield from _texts(value)


class Shelf:
    """Puts into a workspace what documents refer to by name."""

    def __init__(self, ml: MLClient) -> None:
        self._ml = ml
        self._known: set[str] = set()

    def stock(self, sample: Sample) -> None:
        """Everything that one file and its component files refer to."""
        self._rest(sample.file, sample.content)

    def _rest(self, file: Path, content: Any) -> None:
        if isinstance(content, dict) and isinstance(content.get("jobs"), dict):
            self._components(content)
        for key, value, around in _texts(content):
            if key in ("component", "trial") and not _REMOTE.match(value):
                path = file.parent / value.removeprefix("file:")
                if path.is_file():
                    self._rest(path, yaml.safe_load(path.read_text()))
            elif key in ("compute", "default_compute", "compute_name"):
                self._compute(value)
            elif key == "environment":
                self._asset("environment", value)
            elif key == "path":
                self._asset(str(around.get("type")), value)
            elif value.startswith("azureml:") and "compute" in key:
                self._compute(value)

    def _compute(self, value: str) -> None:
        name = value.removeprefix("azureml:")
        if "${{" in name or name == "serverless" or not self._new(f"compute {name}"):
            return
        if re.fullmatch(r"[a-zA-Z][a-zA-Z0-9-]{1,30}", name):
            try:
                self._ml.compute.get(name)
            except HttpResponseError:
                compute = AmlCompute(name=name, size="STANDARD_D2S_V3", max_instances=1)
                self._ml.compute.begin_create_or_update(compute).result()

    def _asset(self, kind: str, value: str) -> None:
        found = _NAMED.fullmatch(value)
        if not found or not self._new(f"{kind} {value}"):
            return
        named: dict[str, Any] = {"name": found[1], "version": found[2] or "1"}
        place = "azureml://datastores/workspaceblobstore/paths/shelf/"
        if kind == "environment":
            self._ml.environments.create_or_update(Environment(image="python", **named))
        elif kind in _MODELS:
            self._ml.models.create_or_update(Model(path=place, type=kind, **named))
        else:
            kind = kind if kind in ("uri_file", "mltable") else "uri_folder"
            # Validating a table would download it.
            data = Data(path=place, type=kind, skip_validation=True, **named)
            self._ml.data.create_or_update(data)

    def _components(self, content: dict[str, Any]) -> None:
        for job in (content.get("jobs") or {}).values():
            found = _NAMED.fullmatch(str(job.get("component")))
            if found and self._new(f"component {found[0]}"):
                self._component(job, content, found[1], found[2] or "1")

    def _component(self, job: dict[str, Any], content: dict[str, Any], name: str, v: str) -> None:
        """A component that takes and writes what a job gives it."""
        inputs = {
            port: {"type": _type(value, content)}
            for port, value in (job.get("inputs") or {}).items()
        }
        outputs = {port: {"type": "uri_folder"} for port in job.get("outputs") or {}}
        outputs |= _read_from(name, content)
        named: dict[str, Any] = {"name": name, "version": v, "inputs": inputs, "outputs": outputs}
        component: Any
        match job.get("type", "command"):
            case "parallel":
                component = ParallelComponent(**named)
            case "pipeline":
                self._asset("environment", "azureml:shelf:1")
                only = {
                    "type": "command",
                    "command": "true",
                    "environment": "azureml:shelf:1",
                    "outputs": {port: f"${{{{parent.outputs.{port}}}}}" for port in outputs},
                }
                document = {"type": "pipeline", **named, "jobs": {"only": only}}
                component = load_component(io.StringIO(yaml.safe_dump(document)))
            case _:
                self._asset("environment", "azureml:shelf:1")
                component = CommandComponent(command="true", environment="azureml:shelf:1", **named)
        self._ml.components.create_or_update(component)

    def _new(self, what: str) -> bool:
        new = what not in self._known
        self._known.add(what)
        return new


def _read_from(component: str, content: dict[str, Any]) -> dict[str, Any]:
    """The outputs that other jobs take from the jobs of a component."""
    jobs = content.get("jobs") or {}
    mine = [node for node, job in jobs.items() if component in str(job.get("component"))]
    text = yaml.safe_dump(content)
    return {
        port: {"type": "uri_folder"}
        for node in mine
        for port in re.findall(rf"parent\.jobs\.{node}\.outputs\.(\w+)", text)
    }


def _type(value: Any, content: dict[str, Any]) -> str:
    """The type of input that a value is for."""
    path = value.get("path", "") if isinstance(value, dict) else value
    if isinstance(value, dict) and "type" in value:
        return str(value["type"])
    if found := re.fullmatch(r"\$\{\{\s*parent\.inputs\.([\w-]+)\s*\}\}", str(path)):
        return _type((content.get("inputs") or {}).get(found[1]), content)
    if "${{" in str(path) or isinstance(value, dict):
        return "uri_folder"
    match value:
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case _:
            return "string"
