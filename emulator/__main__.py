"""`python -m emulator`: the local Azure in the foreground, until Ctrl-C or SIGTERM."""

import argparse
import shlex
import signal
import sys
import threading
from pathlib import Path

from emulator.child_process import StartupError
from emulator.stack import LocalAzure
from emulator.storage import NotInstalled


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m emulator", description=__doc__)
    parser.add_argument(
        "--app",
        type=Path,
        default=Path() if Path("host.json").exists() else None,
        help="folder of the function app to run (this one, when it holds a host.json)",
    )
    parser.add_argument(
        "--state", type=Path, default=Path(".local"), help="folder to keep state in (.local)"
    )
    arguments = parser.parse_args()

    over = threading.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, lambda *_: over.set())
    azure = LocalAzure(arguments.app, state=arguments.state, say=_say)
    try:
        with azure:
            write_environment(azure, azure.state / "env")
            for line in describe(azure):
                _say(line)
            while not over.wait(0.5):
                azure.check()
        _say("stopped")
    except (StartupError, NotInstalled) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def describe(azure: LocalAzure) -> list[str]:
    """The addresses of a running local Azure, for people."""
    topology = azure.topology
    lines = [
        f"workspace       {topology.workspace.name} in {topology.resource_group}",
        *(f"storage         {account.url}" for account in topology.storage_accounts),
    ]
    if azure.functions:
        lines.append(f"function app    {azure.functions.url}")
    lines += [
        f"control         {azure.control_url}",
        f"logs            {azure.logs}",
        f"in other shells set -a; . {azure.state / 'env'}; set +a",
    ]
    return lines


def write_environment(azure: LocalAzure, file: Path) -> None:
    """What clients in other shells need, a NAME=VALUE on each line."""
    lines = [f"{name}={shlex.quote(value)}\n" for name, value in azure.environment.items()]
    file.touch(mode=0o600)
    file.write_text("".join(lines))


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
