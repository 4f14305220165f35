"""The local Azure as a whole: it starts, says what is wrong, and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from emulator.child_process import StartupError
from emulator.stack import LocalAzure, local_settings
from tests.integration.basic_app import FOLDER
from tests.integration.waiting import eventually
from tests.loopback import loopback

PROJECT = Path(__file__).resolve().parents[2]


def descendants(pid: int) -> set[int]:
    """Processes below `pid`."""
    listing = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    children = {int(line) for line in listing.stdout.split()}
    return children.union(*(descendants(child) for child in children))


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that only waits to be reaped does not."""
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return bool(state.stdout.strip()) and not state.stdout.startswith("Z")


def test_nothing_is_left_after_the_end() -> None:
    others = descendants(os.getpid())
    with LocalAzure(FOLDER) as azure:
        children = descendants(os.getpid()) - others
        assert len(children) >= 3
        assert azure.functions
        url, state = azure.functions.url, azure.state
    assert not any(is_alive(pid) for pid in children)
    assert not state.exists()
    with pytest.raises(httpx.ConnectError):
        loopback.get(url)


@pytest.fixture
def foreground(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """`python -m emulator` with an app, up and running."""
    process = subprocess.Popen(
        [sys.executable, "-m", "emulator", "--app", str(FOLDER), "--state", str(tmp_path / "s")],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    for line in process.stdout:
        if line.startswith("in other shells"):
            break
    with process:
        yield process
        process.kill()


def test_the_foreground_process_ends_in_order(foreground: "subprocess.Popen[str]") -> None:
    children = descendants(foreground.pid)
    assert len(children) == 3
    foreground.send_signal(signal.SIGINT)
    assert foreground.wait(15) == 0
    assert not any(is_alive(pid) for pid in children)


def test_children_notice_that_their_parent_was_killed(foreground: "subprocess.Popen[str]") -> None:
    children = descendants(foreground.pid)
    assert len(children) == 3
    foreground.kill()
    foreground.wait(5)
    eventually(lambda: not any(is_alive(pid) for pid in children))


def test_other_shells_find_the_environment_in_a_file_until_it_is_told_to_end(
    foreground: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    assert foreground.poll() is None
    program = (
        "import requests; "
        "print(requests.get('https://signalbox-local.azurewebsites.net/api/open').text)"
    )
    command = f'set -a; . {tmp_path}/s/env; set +a; "{sys.executable}" -c "{program}"'
    answer = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert answer.stdout == "come in\n"
    foreground.send_signal(signal.SIGTERM)
    assert foreground.wait(15) == 0


def test_two_run_side_by_side_but_not_in_one_folder(tmp_path: Path) -> None:
    with LocalAzure(state=tmp_path / "one") as one, LocalAzure() as other:
        assert one.control_url != other.control_url
        for azure in (one, other):
            assert loopback.get(f"{azure.control_url}/ready").is_success
        with (
            pytest.raises(StartupError, match="another local Azure runs in"),
            LocalAzure(state=tmp_path / "one"),
        ):
            pytest.fail("it started")


def app_with(folder: Path, code: str, *, settings: str = "") -> Path:
    (folder / "host.json").write_text('{"version": "2.0"}')
    (folder / "function_app.py").write_text(
        f"import azure.functions as func\napp = func.FunctionApp()\n{code}"
    )
    if settings:
        (folder / "local.settings.json").write_text(settings)
    return folder


TIMER = """
@app.timer_trigger(arg_name="timer", schedule="{schedule}")
def clock(timer: func.TimerRequest) -> None: ...
"""
SERVICE_BUS = """
@app.service_bus_queue_trigger(arg_name="message", queue_name="q", connection="C"{more})
def consume(message: func.ServiceBusMessage) -> None: ...
"""
QUEUE = """
@app.queue_trigger(arg_name="message", queue_name="q", connection="C")
def consume(message: func.QueueMessage) -> None: ...
"""
SESSIONS = SERVICE_BUS.format(more=", is_sessions_enabled=True")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import no_such_module", "No module named 'no_such_module'"),
        ("", "no functions"),
        (QUEUE, "queueTrigger is not implemented by the local functions host"),
        (SERVICE_BUS.format(more=""), "the Service Bus connection string 'C' is missing"),
        (SESSIONS, "isSessionsEnabled (message sessions) is not implemented by the local"),
        (TIMER.format(schedule="%MISSING%"), "'%MISSING%' in the binding's schedule does not"),
        (TIMER.format(schedule="every day"), "'every day' is not an NCRONTAB expression"),
    ],
    ids=["import", "empty", "trigger", "connection", "sessions", "setting", "schedule"],
)
def test_an_app_that_cannot_be_served_says_why(tmp_path: Path, code: str, reason: str) -> None:
    assert reason in refusal(app_with(tmp_path, code))


def refusal(app: Path, **settings: str) -> str:
    """What the functions host says when it does not serve the app."""
    command = [sys.executable, "-m", "emulator.functions_host", "--port=0"]
    command += [f"--app={app}", f"--state={app / 'state'}"]
    ended = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **settings},
    )
    assert ended.returncode == 1
    return ended.stdout


def test_a_connection_by_identity_is_refused_by_name(tmp_path: Path) -> None:
    app = app_with(tmp_path, SERVICE_BUS.format(more=""))
    said = refusal(app, C__fullyQualifiedNamespace="contoso.servicebus.windows.net")
    assert "the connection C by an identity (C__…) is not implemented" in said


@pytest.mark.parametrize(
    ("extensions", "reason"),
    [
        (
            {"serviceBus": {"sessionIdleTimeout": "00:01:00"}},
            "serviceBus.sessionIdleTimeout is not",
        ),
        ({"serviceBus": {"autoCompleteMessages": False}}, "autoCompleteMessages: false is not"),
        ({"serviceBus": {"maxConcurrentCalls": 0}}, "must be a whole number from 1, not 0"),
        ({"serviceBus": {"maxAutoLockRenewalDuration": "6m"}}, "'6m' is not hh:mm:ss"),
        ({"http": {"hsts": {}}}, "http.hsts is not implemented"),
    ],
)
def test_what_host_json_asks_for_in_vain_is_refused_by_name(
    tmp_path: Path, extensions: dict[str, object], reason: str
) -> None:
    app = app_with(tmp_path, TIMER.format(schedule="0 0 3 * * *"))
    (app / "host.json").write_text(json.dumps({"version": "2.0", "extensions": extensions}))
    assert reason in refusal(app)


def test_the_cause_comes_with_the_error_of_the_start(tmp_path: Path) -> None:
    with (
        pytest.raises(StartupError, match="functions-host ended") as failure,
        LocalAzure(app_with(tmp_path, "import no_such_module")),
    ):
        pytest.fail("it started")
    assert "No module named 'no_such_module'" in str(failure.value)


def test_encrypted_settings_are_refused(tmp_path: Path) -> None:
    app = app_with(tmp_path, "", settings='{"IsEncrypted": true}')
    with pytest.raises(StartupError, match="is encrypted"):
        local_settings(app)
