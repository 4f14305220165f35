"""Other people's pipelines, unchanged: they publish, run, and are to AzureML what they were.

`SIGNALBOX_CORPUS` names a folder that holds pipelineJob files, as the `cli` folder of
Azure/azureml-examples does; without it there are only those that the unit tests compile, which
have every type of step and all that a job may say. Each file is published, a run of it is
submitted, and the stock SDK submits the same file: the workspace must see the same graph.
"""

import logging
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml import Input, MLClient, load_job
from azure.ai.ml.entities import PipelineJob
from azure.core.exceptions import HttpResponseError
from azure.identity import DefaultAzureCredential

from emulator.stack import LocalAzure
from emulator.topology import Topology, Workspace
from shared import binding, documents
from shared.binding import Origin
from shared.definitions import Action, Definitions, PipelineDefinition
from shared.events import Event
from shared.index import Index
from shared.inputs import compute_input
from shared.published import Published, PublishedPipeline
from shared.publishing import Publishing
from shared.workspace import AzureWorkspace
from tests.fakes import MemoryBlobs
from tests.integration.conftest import exported
from tests.integration.corpus import Sample, Shelf, samples, whole_copy
from tests.integration.workspace import unique
from tests.loopback import loopback

CORPUS = os.environ.get("SIGNALBOX_CORPUS")
OWN = Path(__file__).parents[1] / "unit/definitions"
pytestmark = pytest.mark.timeout(1800)

_DATA = "azureml://datastores/workspaceblobstore/paths/bound/"


@pytest.fixture(scope="module")
def azure() -> Iterator[LocalAzure]:
    """A workspace that checks and keeps every submission and runs none."""
    topology = Topology(workspace=Workspace(executes=False, compute_seconds=0))
    with LocalAzure(topology=topology) as azure, exported(azure):
        yield azure


@dataclass
class Pair:
    """The same file, submitted by Signalbox and by the stock SDK."""

    azure: LocalAzure

    def __post_init__(self) -> None:
        topology = self.azure.topology
        names = (topology.subscription_id, topology.resource_group, topology.workspace.name)
        credential = DefaultAzureCredential()
        self.ml = MLClient(
            credential, *names, enable_telemetry=False, show_progress=False, retry_total=0
        )
        self.workspace = AzureWorkspace(*names, credential)
        self.blobs = MemoryBlobs()
        self.published = Published(self.blobs)
        self.publishing = Publishing(self.published, Index(self.blobs), self.workspace, listens=())
        self.shelf = Shelf(self.ml)

    def compare(self, sample: Sample, name: str, root: Path) -> str:
        """How the file is submitted. Raises whatever is different or refused."""
        self.shelf.stock(sample)
        document = documents.read(sample.file, root=root)
        definition = PipelineDefinition(name=name, document=document)
        changes = self.publishing.publish(
            Definitions(pipelines=(definition,), triggers=()), lambda _: None
        )
        [version] = [change.version for change in changes if change.name == name]
        record = self.published.read(name, version)
        assert record
        bound = {port: _DATA for port, found in record.inputs.items() if found.required}
        ours, stock = unique("ours"), unique("stock")
        self._ours(ours, bound, record)
        try:
            self._stock(sample, stock, bound, record)
        except HttpResponseError as error:
            # The documented rule for pipeline components, which inline submission is there for.
            if record.submission == "inline" and "can't have runtime settings" in error.message:
                return "refused from the stock SDK"
            raise
        found, expected = self._graph(ours, record), self._graph(stock, record)
        _without_origin(found["job"], expected["job"], sample.content)
        _same(found, expected)
        return record.submission

    def _ours(self, name: str, bound: dict[str, str], record: PublishedPipeline) -> None:
        """A run of the pipeline, as an event that gives these inputs has it."""
        event = Event.model_validate(
            {"id": "1", "source": "/corpus", "type": "test", "time": datetime.now(UTC)}
        )
        action = Action.model_validate({"pipeline": record.name, "inputs": bound})
        origin = Origin(deployment="test", trigger="t", run_id=f"t.{name}", event=event)
        made = binding.bind(action, record, {}, origin, {})
        assert made.body, made.text
        versions = {
            port: version
            for port, (kind, asset) in made.body.latest().items()
            if (version := self.workspace.labelled(kind, asset, "latest"))
        }
        self.workspace.submit(name, made.body.with_versions(versions))

    def _stock(
        self, sample: Sample, name: str, bound: dict[str, str], record: PublishedPipeline
    ) -> None:
        job = load_job(sample.file)
        assert isinstance(job, PipelineJob)
        job.name = name
        inputs: Any = job.inputs
        for port, path in bound.items():
            declared = record.inputs[port]
            setattr(inputs, port, Input(type=declared.type, path=path, mode=declared.mode))
        self.ml.jobs.create_or_update(job)

    def _graph(self, job: str, record: PublishedPipeline) -> Any:
        answer = loopback.get(f"{self.azure.control_url}/graphs/{job}")
        assert answer.status_code == 200, answer.text
        graph = answer.json()
        # Whether a job was made from YAML is nothing to what it does.
        graph["settings"].pop("_source", None)
        for node in graph["nodes"].values():
            # A parallel step's task is its component's; the SDK sends it a second time.
            if node.get("settings", {}).get("task") == node["component"].get("task", ""):
                del node["settings"]["task"]
            # Sizes have no case; the SDK writes them small when a step names its component.
            resources = node.get("settings", {}).get("resources", {})
            if kind := resources.get("instance_type"):
                resources["instance_type"] = kind.lower()
        for step in record.computes:
            graph["inputs"].pop(compute_input(step), None)
        return self._located(graph)

    def _located(self, value: Any) -> Any:
        """With every data asset replaced by where its content is."""
        if isinstance(value, dict):
            return {key: self._located(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._located(item) for item in value]
        if not isinstance(value, str):
            return value
        if found := re.search(r"/(data|models)/([\w.-]+)/versions/([\w.-]+)$", value):
            kept: Any = self.ml.models if found[1] == "models" else self.ml.data
            if "/registries/" not in value:
                value = str(kept.get(found[2], version=found[3]).path)
        place = re.search(r"/datastores/(\w+)/paths/(.*)$", value)
        return f"{place[1]}/{place[2].rstrip('/')}" if place else value


def _without_origin(ours: Any, stock: Any, content: dict[str, Any]) -> None:
    """Leave out what Signalbox says of a job on purpose: what it is a run of, and for which event.

    What the file does not say, the SDK and Signalbox each call in their own way.
    """
    tags = {key: text for key, text in ours["tags"].items() if not key.startswith("signalbox_")}
    ours["tags"], stock["tags"] = tags, stock.get("tags", {})
    if title := content.get("display_name"):
        ours["displayName"] = re.sub(rf"^({re.escape(title)}): 1$", r"\1", ours["displayName"])
    for field, key in (("displayName", "display_name"), ("experimentName", "experiment_name")):
        if not content.get(key):
            ours.pop(field, None), stock.pop(field, None)


def _same(ours: Any, stock: Any) -> None:
    found = list(_differences(ours, stock))
    assert not found, "; ".join(found)


def _differences(ours: Any, stock: Any, place: str = "") -> Iterator[str]:
    if isinstance(ours, dict) and isinstance(stock, dict):
        for key in sorted(ours.keys() | stock.keys()):
            yield from _differences(ours.get(key), stock.get(key), f"{place}.{key}")
    elif ours != stock:
        yield f"{place[1:]}: ours {str(ours)[:150]!r}, stock {str(stock)[:150]!r}"


@pytest.mark.parametrize(
    "corpus",
    [
        pytest.param(str(OWN), id="own"),
        pytest.param(
            CORPUS,
            id="others",
            marks=pytest.mark.skipif(not CORPUS, reason="SIGNALBOX_CORPUS names no folder"),
        ),
    ],
)
def test_every_pipeline_of_the_corpus_publishes_runs_and_is_the_same(
    azure: LocalAzure,
    tmp_path: Path,
    counted: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    corpus: str,
) -> None:
    # The SDK notes the state of the repository it is used in, which may change meanwhile.
    monkeypatch.chdir(tmp_path)
    logging.getLogger("azure.ai.ml").setLevel(logging.CRITICAL)
    folder = whole_copy(Path(corpus), tmp_path)
    pair, failures, ways = Pair(azure), {}, []
    found = samples(folder)
    for number, sample in enumerate(found):
        file = sample.file.relative_to(folder).as_posix()
        try:
            ways.append(pair.compare(sample, f"corpus-{number}", folder))
        except Exception as error:  # noqa: BLE001 - every file is looked at
            failures[file] = f"{type(error).__name__}: {error}"
        print(file, failures.get(file, "is the same")[:300], flush=True)
    told = [
        f"{len(found)} pipelines of {corpus}: "
        f"{ways.count('reference') + ways.count('inline')} are the same to AzureML "
        f"({ways.count('reference')} by reference, {ways.count('inline')} inline); "
        f"{ways.count('refused from the stock SDK')} the workspace takes from Signalbox only",
        *(f"  {file}: {' '.join(why.split())[:600]}" for file, why in failures.items()),
    ]
    for line in told:
        counted(line)
        print(line)
    assert found
    assert not failures, f"{len(failures)} of {len(found)} pipelines differ or are refused"
