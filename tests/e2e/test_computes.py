"""Runs whose compute is not there: they wait, go on when it comes, and say why it does not."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.core import MatchConditions

from emulator.stack import LocalAzure, local_settings
from emulator.topology import Compute, Topology, Workspace
from shared.compute import COMPUTE_PATIENCE
from tests.e2e.running_signalbox import APP, Json, RunningSignalbox
from tests.integration.conftest import exported
from tests.loopback import loopback

SIZE = "Standard_DS3_v2"
_STEP = {"type": "command", "command": "echo hello", "environment": {"image": "python:3.13"}}


@pytest.fixture(scope="module")
def signalbox() -> Iterator[RunningSignalbox]:
    """Jobs are checked and kept; nothing is run."""
    workspace = Workspace(
        executes=False,
        compute_seconds=0.1,
        computes=(
            Compute(name="cpu-cluster"),
            Compute(name="desk", type="ComputeInstance", state="Stopped"),
        ),
    )
    with LocalAzure(APP, topology=Topology(workspace=workspace)) as azure, exported(azure):
        yield RunningSignalbox(azure)


def publish(signalbox: RunningSignalbox, folder: Path, *computes: Json, **steps: str) -> str:
    """Publish the computes and a pipeline that is run for uploads to its name's folder, on
    cpu-cluster but for the steps that are given a compute; what the command said."""
    name = folder.name
    jobs: dict[str, Any] = {"first": _STEP}
    jobs |= {step: {**_STEP, "compute": f"azureml:{on}"} for step, on in steps.items()}
    default = jobs.pop("default", {"compute": "azureml:cpu-cluster"})["compute"]
    pipeline = {"type": "pipeline", "settings": {"default_compute": default}, "jobs": jobs}
    spec = {"account": "contosolake", "container": "landing", "path": f"{name}/{{file}}"}
    trigger = {"name": name, "spec": {"blob": spec}, "action": {"pipeline": name}}
    documents = {f"pipelines/{name}": pipeline, f"triggers/{name}": trigger}
    documents |= {f"computes/{each['name']}": each for each in computes}
    for file, document in documents.items():
        path = folder / f"{file}.yml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document))
    told = signalbox.publish(folder)
    assert told.returncode == 0, told.stderr
    return told.stderr


@contextmanager
def failing(signalbox: RunningSignalbox, compute: str, **failure: Any) -> Iterator[None]:
    """While it lasts, operations on the compute fail, or are held."""
    url = f"{signalbox.azure.control_url}/compute-failures"
    armed = {"compute": compute, "times": 99, **failure}
    loopback.post(url, json=armed).raise_for_status()
    try:
        yield
    finally:
        loopback.delete(url).raise_for_status()


def waiting(signalbox: RunningSignalbox, path: str, why: str) -> Json:
    """The record of a blob, which waits and says so."""
    record = signalbox.record(path, "waiting_compute")
    assert why in record["reason"]["text"]
    assert signalbox.jobs(path) == []
    return record


def shown(*words: str, signalbox: RunningSignalbox) -> str:
    """What the `signalbox` command prints of the running app."""
    told = subprocess.run(
        [str(Path(sys.executable).with_name("signalbox")), *words],
        env={
            **os.environ,
            **local_settings(APP),
            "SIGNALBOX_URL": signalbox.functions.url,
            "SIGNALBOX_KEY": signalbox.functions.keys.host,
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return told.stdout


def test_a_run_waits_until_its_cluster_has_come(
    signalbox: RunningSignalbox, tmp_path: Path
) -> None:
    folder, path = tmp_path / "waits", "waits/1.csv"
    cluster = {"name": "new-cluster", "type": "amlcompute", "size": SIZE, "max_instances": 2}
    with failing(signalbox, "new-cluster", operation="Create", hold=True):
        told = publish(signalbox, folder, cluster, default="new-cluster")
        assert "compute new-cluster is not there; will be created" in told
        signalbox.upload(path)
        waiting(signalbox, path, "compute new-cluster is on its way")
        # The tick looks, and it still is.
        signalbox.tick()
        record = waiting(signalbox, path, "compute new-cluster is on its way")

    submitted = signalbox.record(path, "submitted", ticking=True)
    assert submitted["attempts"][0]["job_name"] == record["attempts"][0]["job_name"]
    assert submitted["reason"] is None
    [job] = signalbox.jobs(path)
    assert job.settings.default_compute.rpartition("/")[2] == "new-cluster"
    assert "new-cluster  amlcompute" in shown("computes", signalbox=signalbox)


def test_quota_is_told_on_the_run_and_after_the_deadline_it_is_a_dead_letter(
    signalbox: RunningSignalbox, tmp_path: Path
) -> None:
    """It is the compute of one step; the pipeline's own is there."""
    folder, path = tmp_path / "quota", "quota/1.csv"
    cluster = {"name": "gpu-cluster", "type": "amlcompute", "size": SIZE, "max_instances": 2}
    with failing(signalbox, "gpu-cluster", operation="Create", code="ClusterCoreQuotaReached"):
        publish(signalbox, folder, cluster, train="gpu-cluster")
        signalbox.upload(path)
        signalbox.record(path, "waiting_compute")
        signalbox.tick()
        record = waiting(signalbox, path, "ClusterCoreQuotaReached. Ask for more quota")
        _age(signalbox, record)
        dead = signalbox.record(path, "dead_letter", ticking=True)

    assert dead["reason"]["code"] == "compute_unavailable"
    assert "was not there within 2:00:00: compute gpu-cluster" in dead["reason"]["text"]
    assert "ClusterCoreQuotaReached. Ask for more quota" in dead["reason"]["text"]
    # Nothing fell back to the compute of the pipeline.
    assert signalbox.jobs(path) == []
    run = f"quota.{dead['key']}"
    assert "Ask for more quota" in shown("runs", "show", run, signalbox=signalbox)


def test_a_missing_role_is_told_on_the_run(signalbox: RunningSignalbox, tmp_path: Path) -> None:
    folder, path = tmp_path / "role", "role/1.csv"
    cluster = {"name": "far-cluster", "type": "amlcompute", "size": SIZE, "max_instances": 2}
    body = {"error": {"code": "AuthorizationFailed", "message": "computes/write is not allowed"}}
    answer = {"status": 403, "body": body}
    with signalbox.fault(answer, path_contains="/computes/far-cluster", times=99):
        publish(signalbox, folder, cluster, default="far-cluster")
        signalbox.upload(path)
        record = waiting(signalbox, path, "Give this identity the role AzureML Compute Operator")
    assert "computes/write is not allowed" in record["reason"]["text"]
    assert "AzureML Compute Operator" in shown(
        "computes", "show", "far-cluster", signalbox=signalbox
    )

    # Whoever gave the role publishes once more, or waits for a quarter of an hour.
    publish(signalbox, folder, cluster, default="far-cluster")
    signalbox.record(path, "submitted", ticking=True)


def test_a_stopped_instance_is_started_for_a_run_and_for_nothing_else(
    signalbox: RunningSignalbox, tmp_path: Path
) -> None:
    folder, path = tmp_path / "desk", "desk/1.csv"
    publish(
        signalbox, folder, {"name": "desk", "type": "computeinstance", "size": SIZE}, default="desk"
    )
    # Its owner stops it.
    signalbox.ml.compute.begin_stop("desk").result(timeout=30)
    signalbox.tick()
    assert signalbox.ml.compute.get("desk").state == "Stopped"

    signalbox.upload(path)
    signalbox.record(path, "submitted", ticking=True)
    assert signalbox.ml.compute.get("desk").state == "Running"


def test_a_step_s_compute_that_nobody_has_is_refused_and_nothing_falls_back(
    signalbox: RunningSignalbox, tmp_path: Path
) -> None:
    folder, path = tmp_path / "nowhere", "nowhere/1.csv"
    publish(signalbox, folder, train="attic")
    signalbox.upload(path)
    dead = signalbox.record(path, "dead_letter", ticking=True)

    assert dead["reason"]["code"] == "azureml_rejected"
    assert "attic" in dead["reason"]["text"]
    assert signalbox.jobs(path) == []


def _age(signalbox: RunningSignalbox, record: Json) -> None:
    """Let a run have waited for longer than it may: its times are compared with storage's."""
    blob = signalbox.state.get_blob_client(f"ledger/{record['trigger']}/{record['key']}.json")
    download = blob.download_blob()
    current = json.loads(download.readall())
    began = datetime.fromisoformat(current["transitions"][0]["at"])
    current["transitions"][0]["at"] = (began - COMPUTE_PATIENCE - timedelta(minutes=1)).isoformat()
    blob.upload_blob(
        json.dumps(current),
        overwrite=True,
        etag=download.properties.etag,
        match_condition=MatchConditions.IfNotModified,
    )
