"""The command as a person meets it: what it says, and how it exits."""

import json
import logging
import shutil
import signal
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError
from click.testing import CliRunner, Result

from cli import publishing
from cli.main import main
from shared.changes import Change, Did, Wanted
from shared.errors import StorageUnavailable
from shared.publishing import Plan

DEFINITIONS = Path(__file__).parent / "definitions"
#: Whoever gets as far as asking for a token is told that there is none.
ENVIRONMENT = {
    "SIGNALBOX_DEPLOYMENT": "test",
    "SIGNALBOX_STATE_ACCOUNT": "signalboxstate",
    "SIGNALBOX_SUBSCRIPTION_ID": "22222222-2222-2222-2222-222222222222",
    "SIGNALBOX_RESOURCE_GROUP": "rg-ml",
    "SIGNALBOX_WORKSPACE": "ml",
    "AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential",
    "COLUMNS": "80",
}


def signalbox(*words: str | Path, **environment: str | None) -> Result:
    given: dict[str, str | None] = {**ENVIRONMENT, **environment}
    return CliRunner().invoke(main, [str(word) for word in words], env=given)


#: Pipelines that say everything there is to say, which takes its time.
_LONG = shutil.ignore_patterns("every-*.yml", "moved-and-asked.yml")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEFINITIONS, tmp_path / "definitions", ignore=_LONG))


def edit(folder: Path, file: str, old: str, new: str) -> None:
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))


@pytest.mark.parametrize("help", ["-h", "--help"])
def test_help_says_what_it_is_for(help: str) -> None:
    assert "publish" in signalbox(help).output
    told = signalbox("publish", help)

    assert told.exit_code == 0
    assert "pipelines/<name>.yml" in told.output


def test_a_folder_that_is_not_there_is_a_wrong_command_line(tmp_path: Path) -> None:
    told = signalbox("publish", tmp_path / "nowhere")

    assert told.exit_code == 2
    assert "nowhere" in told.output


def test_a_file_is_no_folder(folder: Path) -> None:
    assert signalbox("publish", folder / "triggers/retrain.yml").exit_code == 2


def test_a_folder_without_definitions_says_what_it_expected(tmp_path: Path) -> None:
    told = signalbox("publish", tmp_path)

    assert told.exit_code == 1
    assert "expected pipelines/*.yml, triggers/*.yml, schedules/*.yml or computes" in told.stderr
    assert "Nothing was published: 1 problem." in told.stderr


def test_all_that_is_wrong_is_told_with_its_place(folder: Path) -> None:
    edit(folder, "pipelines/scoring.yml", "path: azureml:", "path: gone")
    edit(
        folder,
        "pipelines/churn-training.yml",
        "  prepare:",
        "  prepare:\n    compute: ${{parent.inputs.gone}}",
    )
    edit(folder, "triggers/retrain.yml", "event.data", "evnt.data")
    told = signalbox("publish", folder)

    assert told.exit_code == 1
    places = [line.split(": ")[0] for line in told.stderr.splitlines() if ".yml:" in line]
    assert places == [
        "pipelines/churn-training.yml:23",
        "pipelines/scoring.yml:7",
        "triggers/retrain.yml:7",
    ]
    assert told.stderr.endswith("Nothing was published: 3 problems.\n")
    assert told.stdout == ""


def test_documents_that_cannot_be_read_are_told_with_their_place(folder: Path) -> None:
    edit(folder, "triggers/retrain.yml", "account:", "acount:")
    (folder / "pipelines/broken.yml").write_text("type: pipeline\njobs: [\n")
    told = signalbox("publish", folder)

    assert told.exit_code == 1
    assert "pipelines/broken.yml:3: is not YAML" in told.stderr
    assert "triggers/retrain.yml:3: spec.blob.account is missing" in told.stderr


def test_a_long_problem_is_one_line(folder: Path) -> None:
    edit(folder, "triggers/retrain.yml", "event.data.url", "evnt." + "x" * 200)
    told = signalbox("publish", folder)

    assert "x" * 200 in told.stderr


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("account: contosolake", "account: Contoso", "is no storage account's name"),
        ("event.data.url", "event[/red]", "[/red]"),
        ("event.data.url", "evnt[bold]", "[bold]"),
    ],
)
def test_a_problem_is_told_as_it_is_written(folder: Path, old: str, new: str, said: str) -> None:
    edit(folder, "triggers/retrain.yml", old, new)
    told = signalbox("publish", folder)

    assert told.exit_code == 1
    assert said in told.stderr
    assert isinstance(told.exception, SystemExit)


def test_missing_settings_are_all_named(folder: Path) -> None:
    told = signalbox(
        "publish", folder, SIGNALBOX_WORKSPACE=None, SIGNALBOX_STATE_ACCOUNT="Not An Account"
    )

    assert told.exit_code == 1
    assert "SIGNALBOX_WORKSPACE" in told.stderr
    assert "SIGNALBOX_STATE_ACCOUNT" in told.stderr
    assert "Not An Account" not in told.stderr


def test_a_dry_run_tells_the_same_problems(folder: Path) -> None:
    edit(folder, "triggers/retrain.yml", "event.data", "evnt.data")
    told = signalbox("publish", folder, "--dry-run")

    assert told.exit_code == 1
    assert "triggers/retrain.yml:7: " in told.stderr
    assert told.stdout == ""


def test_problems_are_told_to_programs_as_json(folder: Path) -> None:
    edit(folder, "triggers/retrain.yml", "event.data", "evnt.data")
    for words in ([], ["--dry-run"]):
        told = signalbox("publish", folder, "--json", *words)

        assert told.exit_code == 1
        [error] = json.loads(told.stdout)["errors"]
        assert (error["file"], error["line"]) == ("triggers/retrain.yml", 7)
        assert "evnt" in error["message"]
        assert told.stderr == ""


def test_the_version_is_told() -> None:
    told = signalbox("--version")

    assert told.exit_code == 0
    assert told.output == f"signalbox, version {version('signalbox')}\n"


def test_the_exit_codes_are_told() -> None:
    told = signalbox("--help").output

    for code in (0, 1, 2, 3, 4, 5, 130):
        assert f"\n    {code} " in told


def not_signed_in() -> StorageUnavailable:
    """As the SDKs say it: a line for each way there is to sign in."""
    wall = "\n".join(["DefaultAzureCredential failed to retrieve a token."] * 12)
    error = StorageUnavailable(f"Blob storage could not be reached: {wall}")
    error.__cause__ = ClientAuthenticationError(message=wall)
    return error


def not_connected() -> StorageUnavailable:
    error = StorageUnavailable("Blob storage could not be reached: refused\nmore\nmore")
    error.__cause__ = ServiceRequestError("refused")
    return error


@pytest.mark.parametrize(
    ("endpoint", "remedy"),
    [("", "az login"), ("http://127.0.0.1:4711/msi/token", "start `make run`")],
)
def test_nobody_signed_in_is_two_sentences_with_the_remedy(endpoint: str, remedy: str) -> None:
    environment = {"IDENTITY_ENDPOINT": endpoint}
    told = publishing.unavailable(not_signed_in(), environment, dry_run=False)

    assert told.exit_code == 3
    assert len(told.message.splitlines()) == 1
    assert remedy in told.message
    assert "DefaultAzureCredential" not in told.message


def test_a_service_that_cannot_be_reached_is_two_lines_with_the_remedy() -> None:
    told = publishing.unavailable(not_connected(), {}, dry_run=False)

    assert told.message.splitlines() == [
        "Blob storage could not be reached: refused",
        "Check SIGNALBOX_STATE_ACCOUNT and the network.",
    ]


def test_a_role_that_is_missing_is_told_as_it_is() -> None:
    error = StorageUnavailable("It answered 403. Give this identity a role.")
    cause = ClientAuthenticationError(message="This request is not authorized")
    cause.status_code = 403
    error.__cause__ = cause

    assert publishing.unavailable(error, {}, dry_run=False).message == str(error)


def test_a_dry_run_that_reaches_nobody_says_that_the_documents_are_in_order() -> None:
    told = publishing.unavailable(not_signed_in(), {}, dry_run=True)

    assert told.message.startswith("No mistake was found in the folder")
    assert "az login" in told.message


def test_compile_shows_what_would_be_registered_without_azure(folder: Path) -> None:
    told = signalbox("compile", folder / "pipelines/churn-training.yml", "--json")
    shown = json.loads(told.stdout)

    assert told.exit_code == 0
    assert shown["submission"] == "reference"
    assert [found["name"] for found in shown["register"]] == [
        "prepare_rows",
        "train_model",
        "churn_training",
    ]
    assert shown["job"]["component"] == f"azureml:churn_training:{shown['version']}"


def test_compile_keeps_the_sdk_from_telling_of_its_experimental_classes(folder: Path) -> None:
    sdk = logging.getLogger("azure.ai.ml._utils._experimental")
    sdk.setLevel(logging.NOTSET)
    signalbox("compile", folder / "pipelines/heartbeat.yml")

    assert not sdk.isEnabledFor(logging.WARNING)


def test_compile_says_why_jobs_carry_their_steps(folder: Path) -> None:
    told = signalbox("compile", folder / "pipelines/carried.yml")

    assert told.exit_code == 0
    assert "submission: inline" in told.stdout
    assert "has data of its own: rows" in told.stdout


def test_compile_knows_a_trigger(folder: Path) -> None:
    told = signalbox("compile", folder / "triggers/retrain.yml")

    assert told.exit_code == 1
    assert "retrain.yml is a trigger (it has spec and action)" in told.stderr
    assert "known" not in told.stderr


def test_compile_tells_mistakes_by_line(folder: Path) -> None:
    edit(folder, "pipelines/heartbeat.yml", "  say:", "  say:\n    code: ../gone")
    told = signalbox("compile", folder / "pipelines/heartbeat.yml")

    assert told.exit_code == 1
    assert "heartbeat.yml:6: there is no file or folder '../gone'" in told.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--exit-code"], "--exit-code goes with --dry-run"),
        (["--owner", "Team A"], "lower-case letters"),
        (["--owner", "the definitions container"], "lower-case letters"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_refused(
    folder: Path, words: list[str], said: str
) -> None:
    told = signalbox("publish", folder, *words)

    assert told.exit_code == 2
    assert said in told.output


def test_whoever_ends_the_command_interrupts_it() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), publishing._interruptible():
        signal.raise_signal(signal.SIGTERM)

    assert signal.getsignal(signal.SIGTERM) == before


def test_compile_tells_what_each_job_is_filled_with_and_what_publishing_looks_up(
    folder: Path,
) -> None:
    edit(
        folder,
        "pipelines/heartbeat.yml",
        "    command: echo",
        "    compute: azureml:cpu\n    command: echo",
    )
    shown = json.loads(signalbox("compile", folder / "pipelines/heartbeat.yml", "--json").stdout)

    assert shown["promoted_computes"] == {"signalbox_compute_say": "cpu"}
    assert shown["labels"] == ["azureml:plain@latest"]


def test_compile_says_on_standard_error_why_jobs_carry_their_steps(folder: Path) -> None:
    told = signalbox("compile", folder / "pipelines/carried.yml")

    assert "carried is submitted inline: job" in told.stderr


def finished(
    capsys: pytest.CaptureFixture[str], planned: list[Change], became: list[Change]
) -> list[str]:
    plan = Plan(changes=tuple(planned), wanted=Wanted((), ()), pipelines=())
    publishing._finish(plan, became, dry_run=False, as_json=False)
    return capsys.readouterr().out.splitlines()


def test_what_became_as_planned_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    new = Change("pipeline", "fresh", Did.CREATED, "1")
    same = [Change("trigger", name, Did.UNCHANGED, "2", "2") for name in ("one", "two")]
    other = replace(new, did=Did.UPDATED, before="0")

    assert finished(capsys, [new, *same], [new, *same]) == ["done: 1 created, 2 unchanged"]
    # Somebody else published meanwhile.
    assert "updated" in finished(capsys, [new, *same], [other, *same])[1]
    # No plan was shown.
    assert len(finished(capsys, same, same)) == 3
