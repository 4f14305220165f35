"""What the steps of a job really do: order, parallelism, inputs, outputs, failures."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml import MLClient
from azure.ai.ml.entities import Environment
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobServiceClient

from emulator.azureml.execution.command_line import UnknownName, render
from emulator.azureml.execution.failures import StepFailure
from emulator.azureml.execution.python_environments import requirements
from emulator.azureml.runhistory.states import TRANSITIONS, Status
from emulator.stack import LocalAzure
from tests.integration.workspace import (
    children,
    details,
    eventually,
    finished,
    log_of,
    output,
    pipeline,
    run_to_end,
    unique,
)


def test_data_flows_along_the_graph(ml: MLClient, tmp_path: Path) -> None:
    job = run_to_end(
        ml,
        """
        type: pipeline
        outputs: {result: {type: uri_folder}}
        jobs:
          last:
            type: command
            command: cat ${{inputs.number}} > ${{outputs.result}}/number && ls ${{inputs.folder}} > ${{outputs.result}}/names
            environment: azureml:plain:1
            inputs:
              number: {type: uri_file, path: "${{parent.jobs.first.outputs.number}}"}
              folder: {type: uri_folder, path: "${{parent.jobs.first.outputs.folder}}"}
            outputs: {result: "${{parent.outputs.result}}"}
          first:
            type: command
            command: >-
              sleep 0.3; echo 42 > ${{outputs.number}};
              mkdir ${{outputs.folder}}/deep; touch ${{outputs.folder}}/a ${{outputs.folder}}/deep/b
            environment: azureml:plain:1
            outputs: {number: {type: uri_file}, folder: {type: uri_folder}}
        """,  # noqa: E501
    )
    assert _succeeded(ml, job)
    assert output(ml, job.name, "result", tmp_path) == {"number": "42\n", "names": "a\ndeep\n"}
    steps = children(ml, job.name)
    first, last = details(ml, steps["first"].name), details(ml, steps["last"].name)
    assert first.end_time_utc <= last.start_time_utc


def test_independent_steps_run_side_by_side(ml: MLClient, tmp_path: Path) -> None:
    """Each waits for a sign of the other: one after the other, both would fail."""
    meet = (
        "touch {place}/{me}; for i in $(seq 100); do"
        " [ -e {place}/{other} ] && exit 0; sleep 0.1; done; exit 1"
    )
    job = run_to_end(
        ml,
        f"""
        type: pipeline
        jobs:
          left:
            type: command
            command: {meet.format(place=tmp_path, me="left", other="right")}
            environment: azureml:plain:1
          right:
            type: command
            command: {meet.format(place=tmp_path, me="right", other="left")}
            environment: azureml:plain:1
        """,
    )
    assert _succeeded(ml, job)


def test_literals_defaults_and_optional_inputs(ml: MLClient, local_azure: LocalAzure) -> None:
    job = run_to_end(
        ml,
        """
        type: pipeline
        inputs: {rate: 0.25, count: 0, flag: false, name: "Ada L"}
        jobs:
          say:
            type: command
            component:
              type: command
              command: >-
                echo ${{inputs.rate}} ${{inputs.count}} ${{inputs.flag}} "${{inputs.name}}"
                ${{inputs.mode}} $[[--limit ${{inputs.limit}}]] $[[--seed ${{inputs.seed}}]]
              environment: azureml:plain:1
              inputs:
                rate: {type: number}
                count: {type: integer}
                flag: {type: boolean}
                name: {type: string}
                mode: {type: string, default: fast}
                limit: {type: integer, optional: true}
                seed: {type: integer, optional: true}
            inputs:
              rate: ${{parent.inputs.rate}}
              count: ${{parent.inputs.count}}
              flag: ${{parent.inputs.flag}}
              name: "dear ${{parent.inputs.name}}"
              seed: 7
        """,
    )
    assert _succeeded(ml, job)
    step = children(ml, job.name)["say"]
    assert log_of(ml, local_azure, step.name) == "0.25 0 False dear Ada L fast --seed 7\n"


def test_step_sees_its_variables_and_its_own_folder(ml: MLClient, local_azure: LocalAzure) -> None:
    job = run_to_end(
        ml,
        """
        type: pipeline
        inputs: {color: blue}
        jobs:
          look:
            type: command
            command: >-
              echo $COLOR $AZUREML_RUN_ID $AZUREML_ROOT_RUN_ID ${MLFLOW_TRACKING_URI%%:*}
              $AZUREML_ARM_WORKSPACE_NAME; pwd; python -c 'import sys; print(sys.prefix)';
              [ "$HTTPS_PROXY" ] && echo proxied; echo $PATH
            environment: azureml:plain:1
            environment_variables: {COLOR: "${{parent.inputs.color}}"}
        """,
    )
    assert _succeeded(ml, job)
    step = children(ml, job.name)["look"]
    first, folder, prefix, proxied, path = log_of(ml, local_azure, step.name).splitlines()
    assert first == f"blue {step.name} {job.name} file ml-local"
    assert folder.endswith(f"/{step.name}/wd")
    assert "/local-azure/environments/" in prefix
    assert proxied == "proxied"
    assert str(Path(sys.prefix, "bin")) not in path.split(":"), "the emulator's own environment"


def test_code_folder_is_where_the_step_starts(
    ml: MLClient, local_azure: LocalAzure, tmp_path: Path
) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "words.py").write_text("WORD = 'imported'\n")
    (tmp_path / "main.py").write_text("from lib.words import WORD\nprint(WORD)\n")
    job = run_to_end(
        ml,
        f"""
        type: pipeline
        jobs:
          run:
            type: command
            command: python main.py && echo kept > outputs/extra.txt
            code: {tmp_path}
            environment: azureml:plain:1
        """,
    )
    assert _succeeded(ml, job)
    step = children(ml, job.name)["run"]
    assert log_of(ml, local_azure, step.name) == "imported\n"
    ml.jobs.download(str(step.name), download_path=tmp_path / "down")
    assert (tmp_path / "down/artifacts/outputs/extra.txt").read_text() == "kept\n"


@pytest.fixture(scope="module")
def landed(local_azure: LocalAzure) -> str:
    """Address of a folder in an account that is not the workspace's."""
    account = local_azure.topology.account("contosolake")
    client = BlobServiceClient(account.url, credential=DefaultAzureCredential())
    folder = unique("sales")
    container = client.get_container_client("landing")
    container.upload_blob(f"{folder}/north/a b.csv", b"one\n")
    container.upload_blob(f"{folder}/south.csv", b"two\n")
    return f"https://contosolake.blob.core.windows.net/landing/{folder}"


_READ = """
type: pipeline
inputs:
  file: {{type: uri_file, path: "{file}"}}
  folder: {{type: uri_folder, path: "{folder}"}}
jobs:
  read:
    type: command
    command: cat "${{{{inputs.file}}}}"; cd ${{{{inputs.folder}}}} && find . -type f | sort
    environment: azureml:plain:1
    inputs: {{file: "${{{{parent.inputs.file}}}}", folder: "${{{{parent.inputs.folder}}}}"}}
"""


def test_data_of_another_account_by_its_address(
    ml: MLClient, local_azure: LocalAzure, landed: str
) -> None:
    job = run_to_end(ml, _READ.format(file=f"{landed}/north/a b.csv", folder=f"{landed}/"))
    assert _succeeded(ml, job)
    step = children(ml, job.name)["read"]
    assert log_of(ml, local_azure, step.name) == "one\n./north/a b.csv\n./south.csv\n"


def test_a_legacy_path_is_a_file_or_a_folder(
    ml: MLClient, local_azure: LocalAzure, landed: str
) -> None:
    job = run_to_end(
        ml,
        f"""
        type: pipeline
        jobs:
          old:
            type: command
            component:
              type: command
              inputs: {{file: {{type: path}}, folder: {{type: path}}}}
              outputs: {{out: {{type: path}}}}
              command: >-
                cat ${{{{inputs.file}}}}; cp ${{{{inputs.folder}}}}/south.csv ${{{{outputs.out}}}};
                ls ${{{{outputs.out}}}}
              environment: azureml:plain:1
            inputs:
              file: {{type: uri_file, path: "{landed}/south.csv"}}
              folder: {{type: uri_folder, path: "{landed}/"}}
        """,
    )
    assert _succeeded(ml, job)
    step = children(ml, job.name)["old"]
    assert log_of(ml, local_azure, step.name) == "two\nsouth.csv\n"


def test_local_data_is_uploaded_and_read(
    ml: MLClient, local_azure: LocalAzure, tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text("local\n")
    job = run_to_end(ml, _READ.format(file=tmp_path / "rows.csv", folder=tmp_path))
    assert _succeeded(ml, job)
    step = children(ml, job.name)["read"]
    assert log_of(ml, local_azure, step.name) == "local\n./rows.csv\n"


def test_output_of_an_earlier_job_as_data_asset(ml: MLClient, local_azure: LocalAzure) -> None:
    made = run_to_end(
        ml,
        """
        type: pipeline
        jobs:
          make:
            type: command
            command: echo made > ${{outputs.out}}/file
            environment: azureml:plain:1
            outputs: {out: {type: uri_folder}}
        """,
    )
    step = children(ml, made.name)["make"]
    asset = f"azureml:azureml_{step.name}_output_data_out:1"
    job = run_to_end(ml, _READ.format(file=f"{_address(ml, step)}file", folder=asset))
    assert _succeeded(ml, job)
    reader = children(ml, job.name)["read"]
    assert log_of(ml, local_azure, reader.name) == "made\n./file\n"


def test_default_artifacts_as_an_output(ml: MLClient, local_azure: LocalAzure) -> None:
    job = run_to_end(
        ml,
        """
        type: pipeline
        jobs:
          make:
            type: command
            command: echo world > ./outputs/world.txt
            environment: azureml:plain:1
            outputs: {artifacts: {type: uri_folder}}
          use:
            type: command
            command: cat ${{inputs.made}}/outputs/world.txt
            environment: azureml:plain:1
            inputs: {made: {type: uri_folder, path: "${{parent.jobs.make.outputs.artifacts}}"}}
        """,
    )
    assert _succeeded(ml, job)
    assert log_of(ml, local_azure, children(ml, job.name)["use"].name) == "world\n"


def test_data_that_is_not_there_fails_the_step_by_name(ml: MLClient, landed: str) -> None:
    job = run_to_end(ml, _READ.format(file=f"{landed}/nothing.csv", folder=landed))
    assert job.status == "Failed"
    error = details(ml, children(ml, job.name)["read"].name).error.error
    assert error.code == "UserError"
    assert "input 'file'" in error.message
    assert "nothing.csv" in error.message


def test_folder_that_is_not_there_fails_the_step(ml: MLClient, landed: str) -> None:
    job = run_to_end(ml, _READ.format(file=f"{landed}/south.csv", folder=f"{landed}/west/"))
    error = details(ml, children(ml, job.name)["read"].name).error.error
    assert "input 'folder'" in error.message
    assert "/west/" in error.message


def test_output_that_stays_empty_is_an_empty_folder(ml: MLClient) -> None:
    job = run_to_end(
        ml,
        """
        type: pipeline
        jobs:
          make:
            type: command
            command: "true"
            environment: azureml:plain:1
            outputs: {out: {type: uri_folder}}
          use:
            type: command
            command: '[ -z "$(ls ${{inputs.made}})" ]'
            environment: azureml:plain:1
            inputs: {made: {type: uri_folder, path: "${{parent.jobs.make.outputs.out}}"}}
        """,
    )
    assert _succeeded(ml, job)


_FAILING = """
type: pipeline
settings: {{continue_on_step_failure: {go_on}}}
jobs:
  good:
    type: command
    command: {good}
    environment: azureml:plain:1
  bad:
    type: command
    command: echo to stdout; echo the reason >&2; exit 7
    environment: azureml:plain:1
    outputs: {{out: {{type: uri_folder}}}}
  after:
    type: command
    command: ls ${{{{inputs.data}}}}
    environment: azureml:plain:1
    inputs: {{data: {{type: uri_folder, path: "${{{{parent.jobs.bad.outputs.out}}}}"}}}}
"""


def test_failing_step_fails_the_job_and_stops_the_others(
    ml: MLClient, local_azure: LocalAzure
) -> None:
    job = run_to_end(ml, _FAILING.format(go_on="false", good="sleep 60"))
    assert job.status == "Failed"
    assert "Failed nodes: /bad." in details(ml, job.name).error.error.message
    steps = children(ml, job.name)
    assert {name: step.status for name, step in steps.items()} == {
        "good": "Canceled",
        "bad": "Failed",
        "after": "NotStarted",
    }
    error = details(ml, steps["bad"].name).error.error
    assert error.code == "UserError"
    assert "exited with status code 7" in error.message
    assert "the reason" in error.message
    assert log_of(ml, local_azure, steps["bad"].name) == "to stdout\nthe reason\n"


def test_other_steps_go_on_when_the_job_says_so(ml: MLClient) -> None:
    job = run_to_end(ml, _FAILING.format(go_on="true", good="sleep 1"))
    assert job.status == "Failed"
    assert {name: step.status for name, step in children(ml, job.name).items()} == {
        "good": "Completed",
        "bad": "Failed",
        "after": "NotStarted",
    }


def test_timeout_ends_the_step(ml: MLClient, tmp_path: Path) -> None:
    job = run_to_end(
        ml,
        f"""
        type: pipeline
        jobs:
          slow:
            type: command
            command: sleep 60; touch {tmp_path}/too-late
            environment: azureml:plain:1
            limits: {{timeout: 1}}
        """,
    )
    assert job.status == "Failed"
    step = details(ml, children(ml, job.name)["slow"].name)
    assert "limits.timeout of 1 s" in step.error.error.message
    assert 1 <= (step.end_time_utc - step.start_time_utc).total_seconds() < 10
    assert not (tmp_path / "too-late").exists()


def test_cancel_while_steps_wait(ml: MLClient) -> None:
    job = pipeline(
        """
        type: pipeline
        jobs:
          first:
            type: command
            command: sleep 60
            environment: azureml:plain:1
            outputs: {out: {type: uri_folder}}
          second:
            type: command
            command: ls ${{inputs.data}}
            environment: azureml:plain:1
            inputs: {data: {type: uri_folder, path: "${{parent.jobs.first.outputs.out}}"}}
        """
    )
    ml.jobs.create_or_update(job)
    ml.jobs.begin_cancel(str(job.name)).result(timeout=20)
    assert finished(ml, job.name).status == "Canceled"
    assert {step.status for step in children(ml, job.name).values()} <= {"Canceled"}


def test_background_processes_end_with_their_step(ml: MLClient, tmp_path: Path) -> None:
    job = run_to_end(
        ml,
        f"""
        type: pipeline
        jobs:
          fork:
            type: command
            command: (sleep 1; touch {tmp_path}/survivor) & echo started
            environment: azureml:plain:1
        """,
    )
    assert _succeeded(ml, job)
    again = run_to_end(
        ml,
        """
        type: pipeline
        jobs: {wait: {type: command, command: sleep 1.5, environment: "azureml:plain:1"}}
        """,
    )
    assert _succeeded(ml, again)
    assert not (tmp_path / "survivor").exists()


_EMULATOR = """
import sys, threading
from pathlib import Path
from emulator.azureml.execution.processes import run

class Log:
    file = Path(sys.argv[1])
    def flush(self):
        pass

run(sys.argv[2], folder=Path("."), variables={}, log=Log(), stop=threading.Event())
"""


def test_steps_end_when_the_emulator_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    emulator = subprocess.Popen(
        [sys.executable, "-c", _EMULATOR, str(log), "sleep 60 & echo $! $$; wait"]
    )
    try:

        def pids() -> list[int] | None:
            words = log.read_text().split() if log.exists() else []
            return [int(word) for word in words] if len(words) == 2 else None

        started = eventually(pids, seconds=20, what="the command's first line")
        assert all(_runs(pid) for pid in started)
    finally:
        emulator.kill()
        emulator.wait()
    eventually(lambda: not any(_runs(pid) for pid in started) or None, seconds=10, what="their end")


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_packages_of_the_conda_file(ml: MLClient, local_azure: LocalAzure) -> None:
    environment = Environment(
        name=unique("six"),
        version="1",
        image="mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04",
        conda_file={"dependencies": ["python=3.11", "pip", {"pip": ["six==1.17.0"]}]},
    )
    made = ml.environments.create_or_update(environment)
    job = run_to_end(
        ml,
        f"""
        type: pipeline
        jobs:
          use:
            type: command
            command: python -c 'import six; print(six.__version__)'
            environment: azureml:{made.name}:1
        """,
    )
    assert _succeeded(ml, job)
    assert log_of(ml, local_azure, children(ml, job.name)["use"].name) == "1.17.0\n"


def test_curated_environment_runs_without_its_packages_and_says_so(
    ml: MLClient, capsys: pytest.CaptureFixture[str]
) -> None:
    job = pipeline(
        """
        type: pipeline
        settings: {default_datastore: azureml:workspaceartifactstore, spelled_wrong: true}
        jobs:
          a:
            type: command
            command: echo a > ${{outputs.out}}/a
            environment: azureml://registries/azureml/environments/sklearn-1.5/labels/latest
            outputs: {out: {type: uri_folder}}
        """
    )
    ml.jobs.create_or_update(job)
    ml.jobs.stream(str(job.name))
    printed = capsys.readouterr().out
    assert "environments/sklearn-1.5/labels/latest' of step 'a' is not run here" in printed
    step = children(ml, job.name)["a"]
    assert "/datastores/workspaceartifactstore/paths/azureml/" in _address(ml, step)


def test_environment_that_cannot_be_built(ml: MLClient) -> None:
    environment = Environment(
        name=unique("broken"),
        version="1",
        image="python",
        conda_file={"dependencies": [{"pip": ["six==0.0.0.nonsense"]}]},
    )
    made = ml.environments.create_or_update(environment)
    job = run_to_end(
        ml,
        f"""
        type: pipeline
        jobs: {{use: {{type: command, command: "true", environment: "azureml:{made.name}:1"}}}}
        """,
    )
    assert job.status == "Failed"
    step = details(ml, children(ml, job.name)["use"].name)
    assert "Building the environment failed" in step.error.error.message
    assert "six" in step.error.error.message
    assert "azureml-logs/20_image_build_log.txt" in step.log_files


@pytest.mark.parametrize(
    ("dependencies", "expected"),
    [
        ([], []),
        (["python=3.11", "pip=24"], []),
        (["numpy", "pandas=2.2", "scipy==1.15.1"], ["numpy", "pandas==2.2.*", "scipy==1.15.1"]),
        (["conda-forge::polars>=1"], ["polars>=1"]),
        ([{"pip": ["six", "-r other.txt"]}], ["six", "-r other.txt"]),
        (["numpy=2.1.*", "numpy=2.1.0=py313_0"], ["numpy==2.1.*", "numpy==2.1.0.*"]),
    ],
)
def test_conda_file_as_pip_requirements(dependencies: list[object], expected: object) -> None:
    assert requirements(json.dumps({"dependencies": dependencies})) == expected


def test_conda_dependency_that_makes_no_sense() -> None:
    with pytest.raises(StepFailure, match="'not a package'"):
        requirements('dependencies: ["not a package"]')


def test_command_that_names_an_unknown_input() -> None:
    with pytest.raises(UnknownName, match=r"inputs\.other"):
        render("echo ${{inputs.other}}", {"one": "1"}, {})
    with pytest.raises(UnknownName, match="has no value"):
        render("echo ${{inputs.one}}", {"one": None}, {})


def test_final_states_are_left_by_nothing() -> None:
    assert {status for status in Status if status.is_final} == {
        Status.COMPLETED,
        Status.FAILED,
        Status.CANCELED,
    }
    reachable = {status for targets in TRANSITIONS.values() for status in targets}
    assert reachable == set(Status) - {Status.NOT_STARTED}


def _succeeded(ml: MLClient, job: Any) -> bool:
    """Whether the job completed; its steps' errors in the failure otherwise."""
    if job.status == "Completed":
        return True
    errors = {
        name: details(ml, step.name).error and details(ml, step.name).error.error.message
        for name, step in children(ml, job.name).items()
    }
    pytest.fail(f"{job.name} is {job.status}: {errors}")


def _address(ml: MLClient, step: Any) -> str:
    found = ml.jobs._get_named_output_uri(step.name, "out")
    return str(found["out"])
