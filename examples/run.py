"""`make run`: the local Azure with this app in it, until Ctrl-C."""

import os
import shlex
import signal
import sys
import threading
from pathlib import Path

from emulator.child_process import StartupError
from emulator.stack import FunctionsHost, LocalAzure, local_settings
from emulator.storage import NotInstalled

ROOT = Path(__file__).resolve().parent.parent
#: For other shells; of the last one started, when there are several.
ENVIRONMENT = Path(".local", "env")
EXAMPLE = Path("examples", "tumour-screening")
LAKE = "contosolake"

THINGS_TO_TRY = """
In another shell in this folder, first

  . {environment}

which leads that shell's programs to this local Azure, and nowhere else. Then

1. Publish the example (with --dry-run, it only says what would change):

  signalbox publish {example}

2. Upload a clinic's file, and again to start another run; ask what became of it:

  python -m examples.upload {example}/data/harbour.csv landing/biopsies/harbour/new.csv
  signalbox explain {lake}/landing/biopsies/harbour/new.csv
  signalbox runs

3. Run the pipeline by its name, without an event, and watch its steps:

  signalbox run tumour-screening --wait \\
    --input training_data=https://{lake}.blob.core.windows.net/landing/biopsies/harbour/new.csv \\
    --input site=harbour

4. Ask for the same by a message, and why it ran:

  python -m examples.send retrain \\
    '{{"site": "harbour", "training_data":
       "https://{lake}.blob.core.windows.net/landing/biopsies/harbour/new.csv"}}' request-1
  signalbox explain --message request-1

5. Publish what runs every night if something new is there; see when, upload it, and let it run now:

  signalbox publish examples/nightly-retraining
  signalbox schedules next retrain-nightly --count 3
  python -m examples.upload {example}/data/harbour.csv landing/labels/harbour/march.csv
  signalbox schedules trigger retrain-nightly --wait

`signalbox -h` tells of the other commands; the app's log is {log}.

Ctrl-C ends it all.
"""


def main() -> int:
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    os.chdir(ROOT)
    try:
        with LocalAzure(ROOT, say=_say) as azure:
            assert azure.functions is not None
            environment = _environment(azure, azure.functions)
            ENVIRONMENT.parent.mkdir(exist_ok=True)
            ENVIRONMENT.touch(mode=0o600)
            ENVIRONMENT.write_text(environment)
            _say(_addresses(azure, azure.functions))
            log = azure.functions.log
            _say(THINGS_TO_TRY.format(environment=ENVIRONMENT, example=EXAMPLE, lake=LAKE, log=log))
            while not over.wait(0.5):
                azure.check()
            _say("ending everything that was started")
            if ENVIRONMENT.exists() and ENVIRONMENT.read_text() == environment:
                ENVIRONMENT.unlink()
    except (StartupError, NotInstalled) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _environment(azure: LocalAzure, functions: FunctionsHost) -> str:
    """Shell commands that give another shell the app's settings and lead it to the local Azure."""
    variables = {
        **azure.environment,
        **local_settings(ROOT),
        "SIGNALBOX_URL": f"https://{azure.topology.function_app_host}",
        "SIGNALBOX_KEY": functions.master_key,
    }
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    programs = shlex.quote(str(Path(sys.executable).parent))
    return "\n".join([*lines, f"export PATH={programs}:$PATH", ""])


def _addresses(azure: LocalAzure, functions: FunctionsHost) -> str:
    lines = {
        "function app": f"{functions.url} (https://{azure.topology.function_app_host})",
        "master key": functions.master_key,
        "front door": f"{azure.environment['HTTPS_PROXY']} (as HTTPS_PROXY)",
        "state": str(azure.state),
        "logs": str(azure.logs),
    }
    return "\n" + "\n".join(f"{name:14}{value}" for name, value in lines.items())


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
