"""Running a command in a process group of its own, so that all of it can be ended."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

from emulator.azureml.execution.run_log import RunLog

#: Seconds between SIGTERM and SIGKILL.
_GRACE = 3.0
_LOOK_EVERY = 0.05
_FLUSH_EVERY = 0.5

#: A watcher inside the group holds the read end of a pipe. Should this process be killed, the
#: kernel closes the other end, and the watcher ends the whole group.
_WATCHED = """
exec 3<&0
( trap '' TERM; cat <&3 >/dev/null; kill -KILL 0 ) >/dev/null 2>&1 &
exec bash -c "$1" 3<&- </dev/null
"""


@dataclass(frozen=True)
class Ending:
    """How a command ended. `code` is its exit code, negative for a signal."""

    how: Literal["exited", "stopped", "timed out"]
    code: int


def run(
    command: str,
    *,
    folder: Path,
    variables: Mapping[str, str],
    log: RunLog,
    stop: threading.Event,
    timeout: timedelta | None = None,
) -> Ending:
    """Run a bash command with its output in `log`, until it ends, `stop` is set or time is up."""
    with log.file.open("ab") as output:
        process = subprocess.Popen(
            ["bash", "-c", _WATCHED, "bash", command],
            cwd=folder,
            env=dict(variables),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    started = flushed = time.monotonic()
    how: Literal["exited", "stopped", "timed out"] = "exited"
    try:
        log.flush()
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK_EVERY)
                break
            moment = time.monotonic()
            if stop.is_set():
                how = "stopped"
                break
            if timeout is not None and moment - started > timeout.total_seconds():
                how = "timed out"
                break
            if moment - flushed > _FLUSH_EVERY:
                log.flush()
                flushed = time.monotonic()
    finally:
        _end(process)
        log.flush()
    return Ending(how, process.returncode)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the command and whatever it left running in its group."""
    if process.poll() is None:
        _signal(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
    _signal(process, signal.SIGKILL)
    process.wait()
    if process.stdin:
        process.stdin.close()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
