"""The processes of the local Azure: started, watched and ended by pid, and never left behind.

Each child's standard input is a pipe whose other end only the parent holds. When the parent goes
away, even by SIGKILL, the kernel closes that end and the child reads the end of file.
"""

import contextlib
import os
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

#: seconds a child has to end by itself after SIGTERM
GRACE = 8.0
#: characters of a log line that an error shows
_LINE = 300


class StartupError(RuntimeError):
    """A part of the local Azure did not come up; the message holds the end of its log."""


class ChildProcess:
    """One child with its log file; `start` again after `stop` or `kill` appends to the log."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: Path,
        log: Path,
    ) -> None:
        self.name = name
        self.log = log
        self._folder = folder
        self._command = list(command)
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def ending(self) -> str:
        """How a process that is not running ended, to follow its name."""
        code = self._process.returncode if self._process else None
        if code is None:
            return "has not been started"
        return f"ended with exit code {code}" if code >= 0 else f"was ended by signal {-code}"

    def start(self) -> None:
        if self.running:
            return
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd=self._folder,
                # Ctrl-C in a terminal must reach the parent alone, which then ends them in order
                start_new_session=True,
            )

    def wait_until(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Poll `ready`; StartupError with the log's tail when it ends first or takes too long."""
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.running:
                raise StartupError(f"{self.name} {self.ending}.\n{self.tail()}")
            if time.monotonic() > deadline:
                raise StartupError(
                    f"{self.name} did not come up within {seconds:g} s.\n{self.tail()}"
                )
            time.sleep(0.02)

    def stop(self) -> None:
        """SIGTERM, then SIGKILL after the grace period; returns when the process is gone."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: as a crash or a lost machine."""
        self._end(signal.SIGKILL)

    def tail(self, lines: int = 30) -> str:
        """The last lines of the log, under its path."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        shown = [line[:_LINE] for line in text.splitlines()[-lines:]]
        return "\n".join([f"--- end of {self.log} ---", *shown])

    def _end(self, how: signal.Signals) -> None:
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(how)
        if process.stdin:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def end_with_parent() -> None:
    """In a child: end this process in an orderly way once the parent is gone.

    Started by hand, without a pipe as its standard input, the process has no such parent.
    """
    if not stat.S_ISFIFO(os.fstat(0).st_mode):
        return

    def watch() -> None:
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE)
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
