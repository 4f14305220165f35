"""The `signalbox` command."""

import click

from cli import (
    backfilling,
    compiling,
    computes,
    explaining,
    pipelines,
    publishing,
    replays,
    running,
    runs,
    schedules,
    triggers,
)

EPILOG = """\b
SIGNALBOX_URL and SIGNALBOX_KEY say where the function app is and give one of its
keys; `publish` reads the settings of the app itself. `make run` writes all of them
for the local Azure to .local/env: `. .local/env`.

\b
Exit codes:
  0    done; of a run that was waited for: it is completed
  1    the input is wrong, or the function app refused it
  2    the command line is wrong
  3    Azure or the function app cannot be reached, or cannot answer now
  4    the run failed, was canceled or skipped, or is a dead letter
  5    publish --dry-run --exit-code: something would change
  130  Ctrl-C: watching ended, the run goes on; or publishing stopped, and said where
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG)
@click.version_option(package_name="signalbox", prog_name="signalbox")
def main() -> None:
    """Start Azure Machine Learning pipelines because something happened."""


for command in (
    publishing.publish,
    compiling.compile_pipeline,
    running.run,
    runs.runs,
    runs.dead_letters,
    replays.replay,
    replays.replays,
    explaining.explain,
    triggers.triggers,
    schedules.schedules,
    backfilling.backfill,
    pipelines.pipelines,
    computes.computes,
    explaining.health,
):
    main.add_command(command)
