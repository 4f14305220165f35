"""Words that the tests of the AzureML workspace share."""

import io
import ssl
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.ai.ml import MLClient, load_job
from azure.ai.ml.entities import Job, PipelineJob, PipelineJobSettings
from azure.core.exceptions import HttpResponseError

from emulator.stack import LocalAzure
from tests.loopback import loopback

FINAL = ("Completed", "Failed", "Canceled")


def unique(name: str) -> str:
    """A name that no other test uses; fit for components too."""
    return f"{name}_{uuid.uuid4().hex[:8]}"


def pipeline(yaml: str, *, name: str = "job") -> PipelineJob:
    """A pipeline job from CLI v2 YAML, under a name of its own; serverless unless it says so."""
    job = load_job(io.StringIO(yaml))
    assert isinstance(job, PipelineJob)
    job.settings = job.settings or PipelineJobSettings()
    job.settings.default_compute = job.settings.default_compute or "serverless"
    job.name = unique(name)
    job.experiment_name = "tests"
    return job


def eventually[T](look: Callable[[], T | None], *, seconds: float, what: str) -> T:
    """The first thing `look` finds; AssertionError after the deadline, naming `what`."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found is not None:
            return found
        assert time.monotonic() < deadline, f"{what} did not come within {seconds:g} s"
        time.sleep(0.05)


def finished(ml: MLClient, name: str | None, *, seconds: float = 30) -> Any:
    """The job once it has ended."""
    assert name

    def look() -> Job | None:
        job = ml.jobs.get(name)
        return job if job.status in FINAL else None

    return eventually(look, seconds=seconds, what=f"the end of {name}")


def run_to_end(ml: MLClient, yaml: str, **changes: Any) -> Any:
    """Submit a pipeline and wait for its end; `changes` are set on the job first."""
    job = pipeline(yaml)
    for key, value in changes.items():
        setattr(job, key, value)
    return finished(ml, ml.jobs.create_or_update(job).name)


def children(ml: MLClient, name: str | None) -> dict[str, Any]:
    """The steps of a job by their display name."""
    return {str(child.display_name): child for child in ml.jobs.list(parent_job_name=name)}


def refusal(call: Callable[[], object]) -> Any:
    """The error that Azure answers to `call` with: status_code, error.code, message."""
    with pytest.raises(HttpResponseError) as caught:
        call()
    return caught.value


def inner_codes(error: Any) -> list[str]:
    """The inner codes of an AzureML error, from the outside in."""
    additional = error.response.json()["error"]["additionalInfo"]
    [inner] = [part["info"]["value"] for part in additional if part["type"] == "InnerError"]
    codes = []
    while inner:
        codes.append(inner["code"])
        inner = inner["innerError"]
    return codes


def details(ml: MLClient, name: str | None) -> Any:
    """What run history has on a run: times, error, log files."""
    return ml.jobs._runs_operations.get_run_details(str(name))


def log_of(ml: MLClient, azure: LocalAzure, name: str | None) -> str:
    """The standard log of a step, read from where run history says it is."""
    address = details(ml, name).log_files["user_logs/std_log.txt"]
    with storage_http(azure) as http:
        answer = http.get(address)
    answer.raise_for_status()
    return answer.text


def storage_http(azure: LocalAzure) -> httpx.Client:
    """A plain HTTP client that reaches the local Azure through its front door."""
    return httpx.Client(
        proxy=azure.environment["HTTPS_PROXY"],
        verify=ssl.create_default_context(cafile=str(azure.ca_file)),
        trust_env=False,
    )


def output(ml: MLClient, name: str | None, output_name: str, folder: Path) -> dict[str, str]:
    """The files of a named output: text by relative path."""
    ml.jobs.download(str(name), download_path=folder, output_name=output_name)
    place = folder / "named-outputs" / output_name
    return {
        path.relative_to(place).as_posix(): path.read_text()
        for path in place.rglob("*")
        if path.is_file()
    }


def requests(azure: LocalAzure) -> list[dict[str, Any]]:
    """Requests to ARM and run history since the log was cleared."""
    found: list[dict[str, Any]] = loopback.get(f"{azure.control_url}/requests").json()
    return found


def clear_requests(azure: LocalAzure) -> None:
    loopback.delete(f"{azure.control_url}/requests").raise_for_status()
