"""Commands that the demo runs for real, as a person would type them in a shell."""

import shlex
import subprocess
import sys
import tempfile

#: Seconds for one command.
LIMIT = 60.0

#: Runs a module as `python -m` does, ending as soon as nobody holds the other end of its
#: standard input.
_LAUNCH = """
import runpy, sys
from emulator.child_process import end_with_parent
end_with_parent()
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


class CommandFailed(Exception):
    """What the command says of it, for the person who started the demo."""


def typed(module: str, *arguments: str) -> str:
    """The command as a person types it."""
    return shlex.join([*_program(module), *arguments])


def run(module: str, *arguments: str) -> None:
    """Run a module as a command that shows its output itself. Raises CommandFailed."""
    _run(module, arguments, None)


def answer(module: str, *arguments: str) -> str:
    """What a command writes to standard output. Raises CommandFailed."""
    with tempfile.TemporaryFile("w+") as written:
        _run(module, arguments, written.fileno())
        written.seek(0)
        return written.read()


def _run(module: str, arguments: tuple[str, ...], output: int | None) -> None:
    name = " ".join([*_program(module), *arguments[: module == "cli"]])
    # In a session of its own: Ctrl-C is for this process, which then ends the command.
    with subprocess.Popen(
        [sys.executable, "-c", _LAUNCH, module, *arguments],
        stdin=subprocess.PIPE,
        stdout=output,
        start_new_session=True,
    ) as process:
        try:
            code = process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            raise CommandFailed(f"`{name}` took more than a minute") from None
    if code:
        raise CommandFailed(f"`{name}` says above what is wrong")


def _program(module: str) -> list[str]:
    return ["signalbox"] if module == "cli" else ["python", "-m", module]
