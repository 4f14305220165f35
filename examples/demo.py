"""From events to models on one machine: `make demo`, or `python -m examples.demo [FOLDER]`.

FOLDER is a changed copy of examples/tumour-screening to run instead of the example itself.

Starts a local Azure, publishes the example, has a run started for each of the clinics, each in
another way, and follows the runs from the event to the model. But for the start, this is what one
would do against Azure itself: the same commands, the same SDKs, the same settings.
"""

import argparse
import json
import logging
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

from emulator.child_process import StartupError
from emulator.stack import LocalAzure, local_settings
from emulator.storage import NotInstalled
from examples import commands, records
from examples.commands import CommandFailed
from examples.jobs import workspace
from examples.progress import ENDED, Progress
from examples.run import EXAMPLE, ROOT
from examples.screen import Screen
from examples.upload import LAKE, upload
from shared.ledger import Record

#: A clinic for each way in.
SITES = ("harbour", "lakeside", "hillcrest")
#: Where those that upload nothing have their files, which no trigger watches.
ARCHIVE = "archive"

#: Seconds for all of it; the first time ever, the steps' packages are installed meanwhile.
LIMIT = 240.0
#: Seconds from an event to its job; an event that no trigger takes never has one.
JOB_LIMIT = 30.0


class DemoFailed(Exception):
    """The cause, for the person who started the demo."""


class Demo:
    """The way of the files; its methods are in the order in which things happen."""

    def __init__(self, folder: Path, azure: LocalAzure, screen: Screen) -> None:
        self._folder = folder
        self._azure = azure
        self._screen = screen
        self._ends = time.monotonic() + LIMIT
        self._progress = Progress(SITES)
        # From here on this process is a client of Azure like any other.
        functions = azure.functions
        assert functions is not None
        self._functions = functions
        os.environ.update(azure.environment | local_settings(ROOT))
        os.environ["SIGNALBOX_URL"] = f"https://{azure.topology.function_app_host}"
        os.environ["SIGNALBOX_KEY"] = functions.master_key
        self._workspace = workspace()

    def run(self) -> None:
        self._screen.heading("Publish the example")
        self._publish()
        self._screen.heading("A file, a message and a call; each becomes a run")
        runs = self._start()
        self._screen.heading("The steps of the runs, as the azure-ai-ml SDK shows them")
        self._screen.line("(the first time, the steps' packages are installed: up to a minute)")
        self._follow(runs)
        self._screen.heading("Signalbox takes note of the end")
        self._tick()
        runs = {site: self._final(site, run) for site, run in runs.items()}
        if reasons := [reason for run in runs.values() if (reason := records.why_not(run))]:
            raise DemoFailed("\n\n".join(reasons))
        self._screen.heading("What came out; ✓ is the model that was kept")
        self._show_results(runs)
        self._screen.heading("Why did the first one run?")
        self._explain(SITES[0])
        self._screen.heading("How long each stage took, in seconds")
        self._show_stages()

    def _publish(self) -> None:
        self._screen.line(f"$ {commands.typed('cli', 'publish', str(self._folder))}")
        commands.run("cli", "publish", str(self._folder))

    def _start(self) -> dict[str, Record]:
        """Start a run for each site, in its own way; their records, once AzureML has the jobs."""
        upload_site, message_site, call_site = SITES
        self._archive(message_site, call_site)
        return {
            upload_site: self._by_upload(upload_site),
            message_site: self._by_message(message_site),
            call_site: self._by_call(call_site),
        }

    def _archive(self, *sites: str) -> None:
        """Put files into the lake beforehand, where no trigger watches."""
        for site in sites:
            upload(self._file(site), "landing", f"{ARCHIVE}/{site}.csv")
        names = " and ".join(sites)
        self._screen.line(
            f"{names} have their files in landing/{ARCHIVE}, where no trigger watches"
        )

    def _by_upload(self, site: str) -> Record:
        self._screen.line(f"{site} uploads its file where one does")
        path = _path(site)
        said = self._command("examples.upload", str(self._file(site)), f"landing/{path}")
        etag = _found(r"ETag (\S+)", said)
        return self._started(site, records.run_of_upload("landing", path, etag))

    def _by_message(self, site: str) -> Record:
        self._screen.line(f"{site}'s is named in a message")
        request = json.dumps({"site": site, "training_data": self._archived(site)})
        said = self._command("examples.send", "retrain", request)
        return self._started(site, records.run_of_message(_found(r"message (\S+)", said)))

    def _by_call(self, site: str) -> Record:
        self._screen.line(f"{site}'s is named in a request to the HTTP API")
        inputs = {"site": site, "training_data": self._archived(site)}
        options = [word for name in inputs for word in ("--input", f"{name}={inputs[name]}")]
        said = self._command("cli", "run", "tumour-screening", *options)
        return self._started(site, _found(r"(manual\.[0-9a-f]{32})", said))

    def _file(self, site: str) -> Path:
        return self._folder / "data" / f"{site}.csv"

    def _archived(self, site: str) -> str:
        return f"{LAKE}/landing/{ARCHIVE}/{site}.csv"

    def _command(self, module: str, *arguments: str) -> str:
        """Run a command before everybody's eyes; what it says."""
        self._screen.line(f"$ {commands.typed(module, *arguments)}")
        return commands.answer(module, *arguments)

    def _started(self, site: str, run_id: str) -> Record:
        """The record of a run, once AzureML has the job."""
        ends = time.monotonic() + JOB_LIMIT
        record = self._wait(f"the run of {site}", lambda: records.read(run_id), ends)
        self._progress.mark(site, "event", record.event.time.timestamp())
        self._screen.line(f"  event {record.event.id}")
        self._screen.line(f"  -> run {record.run_id}")
        what = f"the job of run {record.run_id}"
        record = self._wait(what, lambda: records.submitted(run_id), ends)
        if reason := records.why_not(record):
            raise DemoFailed(reason)
        self._progress.mark(site, "job")
        self._screen.line(f"  -> job {record.attempt.job_name}")
        return record

    def _follow(self, runs: Mapping[str, Record]) -> None:
        """Show the steps of the runs' jobs until the last of them has ended."""
        running = {site: record.attempt.job_name for site, record in runs.items()}
        with self._screen.following(self._progress):
            while running:
                for site, name in list(running.items()):
                    job = self._workspace.jobs.get(name)
                    # The newest child comes first.
                    for step in reversed(list(self._workspace.jobs.list(parent_job_name=name))):
                        if self._progress.see(site, step.display_name, step.status):
                            self._screen.changed(site, step.display_name, step.status)
                    if job.status in ENDED:
                        self._progress.mark(site, "ended")
                        del running[site]
                self._pause(f"the jobs {', '.join(running.values())}", self._ends, seconds=0.4)

    def _tick(self) -> None:
        """Have the timer function look now."""
        self._screen.line("its timer looks each minute by itself; here it is told to look now")
        for site in SITES:
            self._progress.mark(site, "look")
        url = f"{self._functions.url}/admin/functions/timer"
        headers = {"x-functions-key": self._functions.master_key}
        httpx.post(url, headers=headers, json={"input": ""}).raise_for_status()

    def _final(self, site: str, record: Record) -> Record:
        """The record in its final state."""
        what = f"run {record.run_id} to be final"
        record = self._wait(what, lambda: records.finished(record.run_id), self._ends)
        self._progress.mark(site, "final")
        self._screen.line(f"run {record.run_id} is {record.state}")
        return record

    def _show_results(self, runs: Mapping[str, Record]) -> None:
        rows = []
        metrics: dict[str, float] = {}
        for site, record in runs.items():
            report = self._report(record.attempt.job_name)
            for name, metrics in report["candidates"].items():
                kept = "✓" if name == report["selected"] else ""
                rows.append([site, name, *(f"{value:.4f}" for value in metrics.values()), kept])
        self._screen.table(["site", "candidate"], list(metrics), rows)
        for site, record in runs.items():
            job = self._workspace.jobs.get(record.attempt.job_name)
            self._screen.line("")
            self._screen.facts(
                {
                    "site": site,
                    "event": f"{record.event.type} {record.event.title}",
                    "run": record.run_id,
                    "model": job.outputs["model"].path,
                }
            )

    def _explain(self, site: str) -> None:
        """Ask for the reason, as one does when nothing has run, or too much."""
        for line in self._command(
            "cli", "explain", f"contosolake/landing/{_path(site)}"
        ).splitlines():
            self._screen.line(f"  {line}")

    def _report(self, job: str) -> dict[str, Any]:
        """What the pipeline wrote into its output `report`."""
        # It names the file it downloads, in a line that cannot be switched off otherwise.
        logging.getLogger("azure.ai.ml.operations._job_operations").setLevel(logging.WARNING)
        with tempfile.TemporaryDirectory() as folder:
            self._workspace.jobs.download(job, download_path=folder, output_name="report")
            report: dict[str, Any] = json.loads(next(Path(folder).rglob("*.json")).read_text())
            return report

    def _show_stages(self) -> None:
        steps = [(f"  {step}", f"{step} runs", f"{step} ended") for step in self._progress.steps]
        rows = self._progress.figures(
            [
                ("event, until AzureML has the job", "event", "job"),
                ("job, until all steps are done", "job", "ended"),
                *steps,
                ("look, until final in the ledger", "look", "final"),
            ]
        )
        self._screen.table([""], SITES, rows)
        self._screen.line(
            "The first job takes longer to submit: the app loads the AzureML SDK for it."
        )

    def _wait(self, what: str, look: Callable[[], Record | None], ends: float) -> Record:
        """The record, once `look` finds it."""
        with self._screen.waiting(what):
            while not (record := look()):
                self._pause(what, ends)
        return record

    def _pause(self, what: str, ends: float, *, seconds: float = 0.1) -> None:
        """Before the next look: DemoFailed when it is too late, StartupError when a part died."""
        self._azure.check()
        if time.monotonic() > ends:
            log = self._functions.log
            lines = log.read_text(errors="replace").splitlines()[-15:]
            raise DemoFailed(
                "\n".join([f"waited too long for {what}", f"--- end of {log} ---", *lines])
            )
        time.sleep(seconds)


def _path(site: str) -> str:
    """Where the trigger watches for a site's file."""
    return f"biopsies/{site}/{site}.csv"


def _found(pattern: str, said: str) -> str:
    """What the pattern's group holds in what a command said."""
    if not (found := re.search(pattern, said)):
        raise DemoFailed(f"a command said something else than was expected: {said}")
    return found[1]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m examples.demo")
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        metavar="FOLDER",
        help=f"a changed copy of {EXAMPLE} to run instead of it",
    )
    given = parser.parse_args().folder
    folder = given.resolve() if given else EXAMPLE
    # A shell starts what runs in its background deaf to SIGINT.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    os.chdir(ROOT)
    screen, started = Screen(), time.monotonic()
    state = Path(tempfile.mkdtemp(prefix="signalbox-demo-"))
    logs = state / "logs"
    try:
        screen.heading("Start a local Azure")
        with LocalAzure(ROOT, state=state, say=screen.line) as azure:
            try:
                Demo(folder, azure, screen).run()
            except Exception:
                # When a part has died, that is the cause of whatever went wrong here.
                azure.check()
                raise
            screen.heading("End everything that was started")
    except NotInstalled as error:
        screen.error(f"The demo cannot start: {error}")
        code = 1
    except KeyboardInterrupt:
        screen.error("The demo was ended before it was done.")
        code = 130
    except (CommandFailed, DemoFailed, StartupError) as error:
        screen.error(f"The demo failed: {error}")
        screen.line(f"all logs are kept in {logs}")
        return 1
    except Exception as error:  # noqa: BLE001 - a person reads this, not a caller
        logs.mkdir(exist_ok=True)
        (logs / "demo.log").write_text(traceback.format_exc())
        # One line, however many the error has.
        screen.error(f"The demo failed: {type(error).__name__}: {' '.join(str(error).split())}")
        screen.line(f"where that was is in {logs / 'demo.log'}")
        return 1
    else:
        screen.line(f"done in {time.monotonic() - started:.0f} s")
        screen.line("`make run` starts the same local Azure and leaves it to you")
        code = 0
    shutil.rmtree(state, ignore_errors=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
