"""The demo as a process, started as `make demo` starts it."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.e2e.running_signalbox import APP
from tests.integration.test_stack import descendants, is_alive
from tests.integration.waiting import eventually

Demo = subprocess.Popen[str]


@contextmanager
def demos(temporary: Path) -> Iterator[Callable[..., Demo]]:
    """Starts demos, given what a person gives them; they leave in `temporary` what they leave."""
    with ExitStack() as started:

        def starting(*arguments: Path) -> Demo:
            demo = subprocess.Popen(
                [sys.executable, "-m", "examples.demo", *map(str, arguments)],
                cwd=APP,
                env={**os.environ, "TMPDIR": str(temporary)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            started.enter_context(demo)
            started.callback(demo.kill)
            return demo

        yield starting


def shown_by(demo: Demo) -> str:
    """What it shows until it ends; none of the processes seen meanwhile may be alive then."""
    assert demo.stdout
    shown, below = [], set()
    for line in demo.stdout:
        shown.append(line)
        if re.search(r"\$ signalbox|-> job|Running", line):
            below |= descendants(demo.pid)
    demo.wait()
    assert len(below) >= 3
    eventually(lambda: not any(is_alive(pid) for pid in below))
    return "".join(shown)
