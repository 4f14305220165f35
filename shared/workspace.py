"""The AzureML workspace: the one room that holds an MLClient.

The SDK is loaded on first use: importing it costs a second and 60 MB, which an event that matches
nothing should not pay.
"""

import io
import json
import re
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import yaml
from azure.core.credentials import TokenCredential
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
)
from pydantic import BaseModel, ConfigDict, Field

from shared import roles
from shared.errors import JobExists, JobRejected, NotFound, WorkspaceUnavailable
from shared.inputs import DataInput, Literal, latest_of, redacted
from shared.registrations import MODELS, CompiledAsset

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

#: Lines of a failed step's log that are kept with the run.
LOG_TAIL_LINES = 20
_LOG_TAIL_CHARACTERS = 4_000

#: A parallel sweep may fail in a thousand steps for one reason.
_FAILED_STEPS = 5

#: Seconds. Event Grid waits 30 for its answer; a PUT without one is looked up later.
_CONNECT_TIMEOUT, _READ_TIMEOUT = 5, 25

#: Two uploads of one code folder race in the SDK (azure-sdk-for-python#30155); steps and
#: publishers that share a folder may meet so more than once.
_UPLOAD_RACES = 5


class JobBody(BaseModel):
    """Everything a job is made from, frozen into the ledger before the first request."""

    model_config = ConfigDict(frozen=True, extra="allow")

    #: ARM id of the pipeline component's version.
    component_id: str
    #: The steps as YAML, of a job that carries them because no component can.
    jobs: dict[str, Any] | None = None
    inputs: dict[str, DataInput | Literal] = Field(default_factory=dict)
    outputs: dict[str, DataInput] = Field(default_factory=dict)
    settings: dict[str, Any] = Field(default_factory=dict)
    experiment_name: str | None = None
    display_name: str
    description: str | None = None
    tags: dict[str, str] = Field(default_factory=dict)
    properties: dict[str, str] = Field(default_factory=dict)
    #: Whose rights the job has, as in YAML; those of its compute when None.
    identity: dict[str, Any] | None = None

    def latest(self) -> dict[str, tuple[str, str]]:
        """The inputs that are the latest version of something: kind (data or model) and name."""
        return {
            name: ("model" if given.type in MODELS else "data", asset)
            for name, given in self.inputs.items()
            if isinstance(given, DataInput) and (asset := latest_of(given.path))
        }

    def with_versions(self, versions: Mapping[str, str]) -> "JobBody":
        """The body with versions in the place of labels, by input."""
        named = {
            name: given.model_copy(update={"path": f"azureml:{asset}:{versions[name]}"})
            for name, (_, asset) in self.latest().items()
            if isinstance(given := self.inputs[name], DataInput)
        }
        return self.model_copy(update={"inputs": {**self.inputs, **named}})


@dataclass(frozen=True)
class Job:
    """A job as AzureML shows it."""

    name: str
    status: str
    tags: dict[str, str]
    #: Where it writes its outputs, by name, as far as AzureML says.
    outputs: dict[str, str] = dataclass_field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """A step of a job as AzureML shows it."""

    name: str
    job: str
    status: str
    #: It did not run again: AzureML took what the same step had made before.
    reused: bool = False


@dataclass(frozen=True)
class FailedStep:
    """A step that failed, and the end of what it printed."""

    step: str
    job: str
    log_tail: str


@dataclass(frozen=True)
class Datastore:
    """Where a datastore of the workspace keeps its data."""

    account: str
    container: str


class Workspace(Protocol):
    """What Signalbox asks of AzureML. All raise WorkspaceUnavailable."""

    def submit(self, name: str, body: JobBody) -> None:
        """One request. Raises JobExists, JobRejected."""

    def find(self, name: str) -> Job | None: ...

    def cancel(self, name: str) -> None: ...

    def studio_url(self, job: str) -> str: ...

    def steps(self, name: str) -> list[Step]:
        """The steps that have begun so far, oldest first."""

    def failed_steps(self, name: str) -> list[FailedStep]: ...

    def labelled(self, kind: str, name: str, label: str) -> str | None:
        """The version that a label stands for now, if any. Raises JobRejected."""

    def datastore(self, name: str) -> Datastore:
        """One of blobs. Raises NotFound."""


class AzureWorkspace:
    """Workspace in Azure, through the public SDK."""

    def __init__(
        self, subscription: str, resource_group: str, workspace: str, credential: TokenCredential
    ) -> None:
        self._names = (subscription, resource_group, workspace)
        self._credential = credential
        self._lock = threading.Lock()
        self._client: MLClient | None = None

    def component_id(self, name: str, version: str) -> str:
        """The ARM id a registered component version has."""
        subscription, group, workspace = self._names
        return (
            f"/subscriptions/{subscription}/resourceGroups/{group}"
            f"/providers/Microsoft.MachineLearningServices/workspaces/{workspace}"
            f"/components/{name}/versions/{version}"
        )

    def studio_url(self, job: str) -> str:
        """Where a person looks at a job."""
        subscription, group, workspace = self._names
        return (
            f"https://ml.azure.com/runs/{job}?wsid=/subscriptions/{subscription}"
            f"/resourcegroups/{group}/workspaces/{workspace}"
        )

    def submit(self, name: str, body: JobBody) -> None:
        with translated(f"job {name!r}"):
            # Validation looks for what only an inline job can have wrong.
            self.client().jobs.create_or_update(job_of(body, name), skip_validation=True)

    def find(self, name: str) -> Job | None:
        with translated(f"job {name!r}"):
            try:
                job = self.client().jobs.get(name)
            except ResourceNotFoundError as error:
                require_workspace(error)
                return None
            # The SDK gives states it knows as an enum, whose text is "JobStatus.FAILED".
            status = str(getattr(job.status, "value", job.status))
            outputs = {
                key: str(path)
                for key, output in (getattr(job, "outputs", None) or {}).items()
                if (path := getattr(output, "path", None))
            }
            return Job(name=name, status=status, tags=dict(job.tags or {}), outputs=outputs)

    def cancel(self, name: str) -> None:
        with translated(f"job {name!r}"):
            self.client().jobs.begin_cancel(name)

    def steps(self, name: str) -> list[Step]:
        with translated(f"the steps of job {name!r}"):
            # The newest comes first.
            return [
                Step(
                    name=step.display_name or step.name,
                    job=step.name,
                    status=str(getattr(step.status, "value", step.status)),
                    reused=(step.properties or {}).get("azureml.isreused") == "true",
                )
                for step in self.client().jobs.list(parent_job_name=name)
            ][::-1]

    def failed_steps(self, name: str) -> list[FailedStep]:
        failed = [step for step in self.steps(name) if step.status == "Failed"][-_FAILED_STEPS:]
        with translated(f"the logs of job {name!r}"):
            return [
                FailedStep(step=step.name, job=step.job, log_tail=self._log_tail(step.job))
                for step in reversed(failed)
            ]

    def datastore(self, name: str) -> Datastore:
        with translated(f"datastore {name!r}"):
            try:
                found: Any = self.client().datastores.get(name)
            except ResourceNotFoundError as error:
                require_workspace(error)
                found = None
        account = getattr(found, "account_name", None)
        container = getattr(found, "container_name", None)
        if not account or not container:
            raise NotFound(f"The AzureML workspace has no datastore {name!r} of blobs.")
        return Datastore(account=account, container=container)

    def registered(self, name: str, version: str) -> bool:
        """Whether a component version is there; it is immutable, so nothing more is asked."""
        with translated(f"component {name}:{version}"):
            try:
                with _flow_unread():
                    self.client().components.get(name, version)
            except ResourceNotFoundError as error:
                require_workspace(error)
                return False
            return True

    def labelled(self, kind: str, name: str, label: str) -> str | None:
        """The version that a label of a component, environment, data or model stands for now."""
        from azure.ai.ml.exceptions import MlException, ValidationException

        with translated(f"{kind} {name}@{label}"):
            client = self.client()
            kinds: dict[str, Any] = {
                "component": client.components,
                "environment": client.environments,
                "data": client.data,
                "model": client.models,
            }
            try:
                return str(kinds[kind].get(name, label=label).version)
            except (ResourceNotFoundError, MlException) as error:
                causes = list(_causes(error))
                for cause in causes:
                    if isinstance(cause, ResourceNotFoundError):
                        require_workspace(cause)
                # So the SDK says that there is no such label, or nothing it could stand for.
                if any(
                    isinstance(it, ResourceNotFoundError | ValidationException) for it in causes
                ):
                    return None
                raise

    def register(self, document: dict[str, Any]) -> None:
        """Register one component version from its YAML content, with its code and environment.

        Raises JobRejected when AzureML refuses it.
        """
        for _ in range(_UPLOAD_RACES):
            # Lost against another upload of the same code folder, which is there now …
            with suppress(JobExists):
                self._register(document)
                return
            # … or against another publisher, whose component it is: the same, by its version.
            if self.registered(document["name"], document["version"]):
                return
        self._register(document)

    def _register(self, document: dict[str, Any]) -> None:
        client = self.client()
        from azure.ai.ml import load_component

        name = f"component {document['name']}:{document['version']}"
        with tempfile.TemporaryDirectory() as folder, translated(name):
            if flow := document.get("flow"):
                given = [{key: document[key]} for key in ("name", "version")]
                component = load_component(flow, params_override=given)
                with _flow_unread():
                    client.components.create_or_update(component)
                return
            file = Path(folder, "component.yml")
            file.write_text(yaml.safe_dump(document, sort_keys=False))
            client.components.create_or_update(load_component(file))

    def has_asset(self, asset: CompiledAsset) -> bool:
        """Whether a version of data or of a model is there; it is immutable too."""
        with translated(f"data {asset.name}:{asset.version}"):
            kept = self.client().models if asset.is_model else self.client().data
            try:
                kept.get(asset.name, version=asset.version)
            except ResourceNotFoundError as error:
                require_workspace(error)
                return False
            return True

    def upload(self, asset: CompiledAsset) -> None:
        """Upload local data, or a local model, as one version. Raises JobRejected."""
        client = self.client()
        from azure.ai.ml.entities import Data, Model

        named: dict[str, Any] = {
            "name": asset.name,
            "version": asset.version,
            "path": asset.path,
        }
        with suppress(JobExists), translated(f"data {asset.name}:{asset.version}"):
            if asset.is_model:
                client.models.create_or_update(Model(type=asset.type, **named))
            else:
                # Validating a table asks a public host for its schema.
                data = Data(type=asset.type, skip_validation=True, **named)
                client.data.create_or_update(data)

    def _log_tail(self, job: str) -> str:
        with tempfile.TemporaryDirectory() as folder:
            self.client().jobs.download(job, download_path=folder)
            logs = sorted(Path(folder).rglob("std_log*.txt"))
            text = "\n".join(log.read_text(errors="replace") for log in logs)
        tail = "\n".join(text.rstrip().splitlines()[-LOG_TAIL_LINES:])
        return tail[-_LOG_TAIL_CHARACTERS:]

    def client(self) -> "MLClient":
        with self._lock:
            if self._client is None:
                from azure.ai.ml import MLClient

                self._client = MLClient(
                    self._credential,
                    *self._names,
                    # The SDK would repeat a PUT by itself and sleep through Retry-After; the
                    # ledger decides that.
                    retry_total=0,
                    connection_timeout=_CONNECT_TIMEOUT,
                    read_timeout=_READ_TIMEOUT,
                    enable_telemetry=False,
                    show_progress=False,
                )
            return self._client


def job_of(body: JobBody, name: str | None = None) -> Any:
    """A body as the SDK's job, to be submitted or scheduled."""
    from azure.ai.ml import Input, Output, load_job
    from azure.ai.ml.entities import PipelineJob, PipelineJobSettings

    if body.jobs is not None or body.identity is not None:
        # The SDK has a public way from YAML only; it costs some milliseconds more.
        return load_job(io.StringIO(yaml.safe_dump(_as_yaml(body, name), sort_keys=False)))
    inputs = {
        key: Input(type=value.type, path=value.path, mode=value.mode)
        if isinstance(value, DataInput)
        else value
        for key, value in body.inputs.items()
    }
    outputs = {
        key: Output(
            type=value.type,
            path=value.path,
            mode=value.mode,
            name=value.name,
            version=value.version,
        )
        for key, value in body.outputs.items()
    }
    return PipelineJob(
        name=name,
        component=body.component_id,
        inputs=inputs,
        outputs=outputs,
        settings=PipelineJobSettings(**body.settings),
        experiment_name=body.experiment_name,
        display_name=body.display_name,
        description=body.description,
        tags=dict(body.tags),
        properties=dict(body.properties),
    )


def _as_yaml(body: JobBody, name: str | None) -> dict[str, Any]:
    content = {"type": "pipeline", **body.model_dump(exclude_none=True)}
    if name is not None:
        content["name"] = name
    content["settings"] = {key: _yaml_reference(key, x) for key, x in body.settings.items()}
    carried = "component_id" if body.jobs is not None else "jobs"
    content.pop(carried, None)
    if component := content.pop("component_id", None):
        content["component"] = f"azureml:{component.removeprefix('azureml:')}"
    return content


@contextmanager
def _flow_unread() -> Iterator[None]:
    """The SDK, answered with a flow, does not read it: the flow is there all the same."""
    try:
        yield
    except RuntimeError as error:
        # Source: `FlowComponent._from_rest_object_to_init_params` of azure-ai-ml.
        if "FlowComponent does not support loading" not in str(error):
            raise


@contextmanager
def translated(what: str) -> Iterator[None]:
    """The SDK's failures as ours."""
    from azure.ai.ml.exceptions import MlException

    try:
        yield
    except ClientAuthenticationError as error:
        raise WorkspaceUnavailable(
            f"Could not sign in to ask AzureML for {what}: {roles.sign_in(error)}"
        ) from error
    except HttpResponseError as error:
        raise _meaning(error, what) from error
    except MlException as error:
        raise JobRejected(type(error).__name__, redacted(str(error.message))) from error
    except AzureError as error:
        said = redacted(str(error))
        raise WorkspaceUnavailable(f"AzureML could not be reached for {what}: {said}") from error
    except Exception as error:
        # Any other error out of the SDK says nothing of whether a request took effect.
        raise WorkspaceUnavailable(
            f"The AzureML SDK failed on {what}: {type(error).__name__}: {redacted(str(error))}"
        ) from error


def _meaning(error: HttpResponseError, what: str) -> Exception:
    status = error.status_code or 0
    body = _error_body(error)
    # It may repeat what it was asked.
    message = redacted(str(body.get("message") or error.message))
    codes = list(_codes(body))
    if re.search(r"already exists", message) or {"JobPropertyImmutable", "Immutable"} & set(codes):
        return JobExists(what)
    if _names_no_workspace(body):
        return WorkspaceUnavailable(
            f"There is no such AzureML workspace: {message} "
            "Check SIGNALBOX_SUBSCRIPTION_ID, SIGNALBOX_RESOURCE_GROUP and SIGNALBOX_WORKSPACE."
        )
    if status in (401, 403):
        # A role takes minutes to arrive, and losing it is no property of the job.
        return WorkspaceUnavailable(
            f"AzureML answered {status} for {what}: {message} {roles.give(_role(message))}"
        )
    if status in (408, 409, 412, 423, 429) or status >= 500 or status == 0:
        wait = getattr(error.response, "headers", {}).get("Retry-After", "")
        return WorkspaceUnavailable(
            f"AzureML answered {status} for {what}: {message}",
            retry_after=float(wait) if wait.isdigit() else None,
            # Too many requests: counted, and not read.
            refused=status == 429,
        )
    return JobRejected(codes[-1] if codes else str(status), message)


def _role(refusal: str) -> str:
    """The role that has the action of which Azure Resource Manager says that nobody may do it."""
    return roles.COMPUTES if "/workspaces/computes/" in refusal else roles.WORKSPACE


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those it was made of."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def require_workspace(error: HttpResponseError) -> None:
    # Without this, a mistyped workspace would look like one whose jobs are gone.
    if _names_no_workspace(_error_body(error)):
        raise error


def _names_no_workspace(body: dict[str, Any]) -> bool:
    """Whether Azure Resource Manager says that the workspace, or what it is in, is not there."""
    codes = set(_codes(body))
    if codes & {"ResourceGroupNotFound", "SubscriptionNotFound", "ParentResourceNotFound"}:
        return True
    missing = re.search(r"/workspaces/[^/']+'", str(body.get("message")))
    return "ResourceNotFound" in codes and missing is not None


def _error_body(error: HttpResponseError) -> dict[str, Any]:
    try:
        content = json.loads(error.response.text()) if error.response else {}
    except ValueError:
        return {}
    inner = content.get("error", content) if isinstance(content, dict) else {}
    return inner if isinstance(inner, dict) else {}


def _codes(body: dict[str, Any]) -> Iterator[str]:
    """An error's code and its inner codes, outermost first."""
    current: Any = body
    while isinstance(current, dict):
        if isinstance(code := current.get("code"), str):
            yield code
        current = current.get("innererror") or current.get("innerError")


def _yaml_reference(setting: str, value: Any) -> Any:
    """A setting as YAML has it: a job object takes names without the prefix."""
    named = setting in ("default_compute", "default_datastore") and isinstance(value, str)
    if not named or value == "serverless" or value.startswith(("azureml:", "${{")):
        return value
    return f"azureml:{value}"
