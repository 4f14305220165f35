"""Three ways to run one pipeline, each with what it does per submission and per publish.

The pipeline: steps in a tree, each a command of its own that reads an output of the one it follows,
in an image that the workspace has as an environment. Nothing is uploaded, and nothing is run.
"""

import json
import os
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from azure.ai.ml import Input, MLClient, Output, dsl, load_component, load_job
from azure.ai.ml.entities import CommandComponent, Environment
from azure.identity import DefaultAzureCredential

from emulator.stack import local_settings
from emulator.topology import Topology
from shared import bootstrap, envelopes
from shared.events import blob_subject
from shared.workspace import JobBody

IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04:latest"
ENVIRONMENT = "bench"
_LANDING = "https://contosolake.blob.core.windows.net/landing"
#: Steps that follow one step.
_BRANCHES = 4

Call = Callable[[], object]


class Way(Protocol):
    """Calls are prepared first, as a person who has the files already, then measured."""

    name: str

    def submission(self, steps: int) -> Call: ...

    def publication(self, steps: int) -> Call | None:
        """None where there is no such thing."""


def client(topology: Topology) -> MLClient:
    """The official client, as one makes it."""
    return MLClient(
        DefaultAzureCredential(),
        topology.subscription_id,
        topology.resource_group,
        topology.workspace.name,
        enable_telemetry=False,
        show_progress=False,
    )


class Stock:
    """`load_job` and `jobs.create_or_update`: what one writes first."""

    name = "stock SDK, inline"

    def __init__(self, ml: MLClient, folder: Path) -> None:
        self._ml = ml
        self._folder = folder

    def submission(self, steps: int) -> Call:
        file = _written(self._folder / f"{_nonce()}.yml", _pipeline_job(steps, _nonce()))

        def submit() -> None:
            job: Any = load_job(file)
            job.name = f"stock-{_nonce()}"
            job.inputs.data = Input(type="uri_file", path=f"{_LANDING}/new.csv")
            self._ml.jobs.create_or_update(job)

        return submit

    def publication(self, steps: int) -> Call:
        """The steps as components, then the pipeline as one: a script of the same SDK."""
        nonce = _nonce()
        job = _pipeline_job(steps, nonce)
        files, nodes = [], {}
        for name, step in job["jobs"].items():
            inputs = {key: {"type": "uri_file"} for key in step["inputs"]}
            given = {key: step[key] for key in ("type", "command", "environment")}
            document = {"name": f"{name}_{nonce}", "version": "1", "inputs": inputs, **given}
            document["outputs"] = step["outputs"]
            files.append(_written(self._folder / nonce / f"{name}.yml", document))
            component = f"azureml:{name}_{nonce}:1"
            nodes[name] = {"type": "command", "component": component, "inputs": step["inputs"]}
        whole = {"type": "pipeline", "name": f"whole_{nonce}", "version": "1", "jobs": nodes}
        whole["inputs"] = {"data": {"type": "uri_file"}}
        files.append(_written(self._folder / nonce / "pipeline.yml", whole))

        def publish() -> None:
            for file in files:
                self._ml.components.create_or_update(load_component(file))

        return publish


class Assembled:
    """ZenML's shape: a component with an environment of its own for each step, put together by the
    dsl and submitted, each time. Of the SDK alone; ZenML itself does more around it."""

    name = "ZenML's shape"

    def __init__(self, ml: MLClient) -> None:
        self._ml = ml

    def submission(self, steps: int) -> Call:
        def submit() -> None:
            nonce = _nonce()
            components = {
                f"step_{number}": self._component(f"step_{number}", number, nonce)
                for number in range(steps)
            }

            @dsl.pipeline(force_rerun=True, name=f"run-{nonce}")  # type: ignore[call-overload, untyped-decorator]
            def whole() -> None:
                outputs: dict[str, Any] = {}
                for name, component in components.items():
                    node: Any = component(**{each: outputs[each] for each in component.inputs})
                    outputs[name] = node.outputs.completed

            job = whole()
            job.settings.default_compute = "serverless"
            self._ml.jobs.create_or_update(job)

        return submit

    def publication(self, _steps: int) -> None:
        return None

    def _component(self, name: str, number: int, nonce: str) -> CommandComponent:
        before = [f"step_{_followed(number)}"] if number else []
        return CommandComponent(
            name=name,
            display_name=name,
            description=f"The component of {name}.",
            inputs={each: Input(type="uri_file") for each in before},
            outputs={"completed": Output(type="uri_file")},
            environment=Environment(name=ENVIRONMENT, image=IMAGE),
            command=_command(number, nonce) + " > ${{outputs.completed}}",
        )


class Signalbox:
    """The app: publish once, submit by reference."""

    name = "Signalbox"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        app = Path(__file__).resolve().parents[2]
        self._app = bootstrap.build({**os.environ, **local_settings(app)})
        #: The body of a job, by the number of steps.
        self._bodies: dict[int, JobBody] = {}

    def submission(self, steps: int) -> Call:
        body = self.body(steps)
        return partial(self._app.workspace.submit, f"signalbox-{_nonce()}", body)

    def event(self, steps: int) -> Call:
        """All that an upload leads to: matched, bound, recorded, submitted."""
        self.body(steps)
        [event] = envelopes.parse(_upload(f"{steps}/{_nonce()}.csv"), now=datetime.now(UTC))
        return partial(self._app.dispatcher.handle, event)

    def publication(self, steps: int) -> Call:
        """A pipeline that has been published before, and of which every step was changed."""
        folder, name = self._definitions(steps), f"steps-{steps}"
        _written(folder / "pipelines" / f"{name}.yml", _pipeline_job(steps, _nonce()))
        spec = {"account": "contosolake", "container": "landing", "path": f"{steps}/{{file}}.csv"}
        action = {"pipeline": name, "inputs": {"data": "${{ event.data.url }}"}}
        trigger = {"name": name, "spec": {"blob": spec}, "action": action}
        _written(folder / "triggers" / f"{name}.yml", trigger)
        self._bodies.pop(steps, None)
        return partial(self._app.publishing.publish, folder, lambda _line: None)

    def publication_again(self, steps: int) -> Call:
        """The folder that is published already."""
        self.body(steps)
        return partial(self._app.publishing.publish, self._definitions(steps), lambda _line: None)

    def _definitions(self, steps: int) -> Path:
        return self._folder / f"of-{steps}"

    def body(self, steps: int) -> JobBody:
        """The job of such a pipeline, as the app has made it of an event."""
        if steps not in self._bodies:
            if f"steps-{steps}" not in self._app.index.peek().pipelines:
                self.publication(steps)()
            [event] = envelopes.parse(_upload(f"{steps}/{_nonce()}.csv"), now=datetime.now(UTC))
            [decision] = self._app.dispatcher.handle(event)
            assert decision.record
            assert decision.record.body, decision.record.reason
            self._bodies[steps] = decision.record.body
        return self._bodies[steps]


def _pipeline_job(steps: int, nonce: str) -> dict[str, Any]:
    """A pipelineJob in which no two steps are the same."""
    jobs: dict[str, Any] = {}
    for number in range(steps):
        before = f"${{{{parent.jobs.step_{_followed(number)}.outputs.done}}}}"
        jobs[f"step_{number}"] = {
            "type": "command",
            "command": _command(number, nonce) + " ${{inputs.data}} > ${{outputs.done}}",
            "environment": f"azureml:{ENVIRONMENT}:1",
            "inputs": {"data": before if number else "${{parent.inputs.data}}"},
            "outputs": {"done": {"type": "uri_file"}},
        }
    return {
        "type": "pipeline",
        "inputs": {"data": {"type": "uri_file", "path": f"{_LANDING}/old.csv"}},
        "settings": {"default_compute": "azureml:cpu-cluster"},
        "jobs": jobs,
    }


def _command(number: int, nonce: str) -> str:
    return f"echo {nonce} {number}"


def _followed(number: int) -> int:
    return (number - 1) // _BRANCHES


def _upload(path: str) -> dict[str, Any]:
    """An upload as Event Grid tells it."""
    return {
        "id": _nonce(),
        "topic": "/subscriptions/s/storageAccounts/contosolake",
        "subject": blob_subject("landing", path),
        "eventType": "Microsoft.Storage.BlobCreated",
        "eventTime": datetime.now(UTC).isoformat(),
        "data": {"api": "PutBlob", "eTag": f"0x{_nonce()}", "url": f"{_LANDING}/{path}"},
    }


def _written(file: Path, content: dict[str, Any]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    # JSON is YAML, and is written much faster.
    file.write_text(json.dumps(content))
    return file


def _nonce() -> str:
    return f"n{uuid.uuid4().hex[:12]}"
