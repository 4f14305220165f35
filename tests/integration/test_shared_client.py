"""One credential and one client for all threads of a process, against the local Azure."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from azure.identity import DefaultAzureCredential

from emulator.stack import LocalAzure
from shared.workspace import AzureWorkspace, JobBody
from tests.integration.workspace import clear_requests, requests, unique

THREADS = 8


@pytest.fixture
def workspace(local_azure: LocalAzure) -> AzureWorkspace:
    topology = local_azure.topology
    return AzureWorkspace(
        topology.subscription_id,
        topology.resource_group,
        topology.workspace.name,
        DefaultAzureCredential(),
    )


def component(name: str, code: Path) -> dict[str, object]:
    return {
        "type": "command",
        "name": name,
        "version": "1",
        "command": "echo hello",
        "code": str(code),
        "environment": "azureml://registries/azureml/environments/plain/versions/1",
    }


def test_threads_that_meet_a_fresh_client_share_it(
    workspace: AzureWorkspace, local_azure: LocalAzure, tmp_path: Path
) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "hello.py").write_text(f"print({unique('x')!r})")
    together = Barrier(THREADS)

    def register(number: int) -> str:
        name = unique(f"step{number}")
        together.wait(timeout=60)
        # All of them upload the same folder for the first time.
        workspace.register(component(name, code))
        return name

    with ThreadPoolExecutor(THREADS) as pool:
        steps = list(pool.map(register, range(THREADS)))
    assert all(workspace.registered(step, "1") for step in steps)

    graph = unique("graph")
    workspace.register(
        {
            "type": "pipeline",
            "name": graph,
            "version": "1",
            "jobs": {"a": {"type": "command", "component": f"azureml:{steps[0]}:1"}},
        }
    )
    names = [unique(f"job{number}") for number in range(4 * THREADS)]
    clear_requests(local_azure)

    def submit(name: str) -> None:
        body = JobBody(
            component_id=workspace.component_id(graph, "1"),
            settings={"default_compute": "serverless"},
            display_name=f"shown {name}",
            experiment_name="threads",
            tags={"of": name},
        )
        workspace.submit(name, body)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(submit, names))
    puts = [
        r["path"] for r in requests(local_azure) if r["method"] == "PUT" and "/jobs/" in r["path"]
    ]
    assert sorted(path.rpartition("/")[2].partition("?")[0] for path in puts) == sorted(names)
    # Nobody got another's job.
    for name in names:
        found = workspace.find(name)
        assert found
        assert found.tags["of"] == name
