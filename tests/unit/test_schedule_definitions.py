"""AzureML's schedule YAML as it is: a trigger, and the pipeline that it starts."""

from pathlib import Path

import pytest

from shared import compiler, definitions
from shared.definitions import Definitions, TriggerFile

_JOB = """
type: pipeline
inputs:
  size: 1
settings: {default_compute: azureml:cpu-cluster, force_rerun: false}
jobs:
  a: {type: command, command: echo hi, environment: azureml:plain:1}
"""
_SCHEDULE = """
$schema: https://azuremlschemas.azureedge.net/latest/schedule.schema.json
name: night_run
trigger:
  type: cron
  expression: "0 6 * * *"
  time_zone: Tokyo Standard Time
create_job: %s
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "schedules").mkdir()
    (tmp_path / "schedules/job.yml").write_text(_JOB)
    return tmp_path


def load(folder: Path, create_job: str = "./job.yml", name: str = "night") -> Definitions:
    (folder / f"schedules/{name}.yml").write_text(_SCHEDULE % create_job)
    return definitions.load(folder)


def problems(folder: Path, create_job: str) -> list[str]:
    return [str(each) for each in load(folder, create_job).problems]


def only(found: Definitions) -> TriggerFile:
    assert found.problems == ()
    [file] = found.triggers
    return file


def test_a_file_becomes_a_trigger_and_its_pipeline(folder: Path) -> None:
    found = load(folder)
    trigger = only(found).trigger
    assert trigger.name == "night_run"
    assert trigger.spec.schedule
    assert trigger.spec.schedule.engine == "azureml"
    assert trigger.spec.schedule.text == "0 6 * * * (Asia/Tokyo)"
    assert trigger.action.pipeline == "job"
    [pipeline] = found.pipelines
    assert (pipeline.name, pipeline.document.file) == ("job", "schedules/job.yml")
    # What is wrong with it later is told at the line of the schedule.
    problem = only(found).document.problem(("spec", "schedule", "time_zone"), "x")
    assert (problem.file, problem.line) == ("schedules/night.yml", 7)


def test_several_may_start_the_same_and_one_of_pipelines_is_no_second_one(folder: Path) -> None:
    load(folder)
    second = (_SCHEDULE % "job.yml").replace("night_run", "second_run")
    (folder / "schedules/second.yml").write_text(second)
    found = definitions.load(folder)
    assert found.problems == ()
    assert [each.name for each in found.pipelines] == ["job"]
    (folder / "pipelines").mkdir()
    (folder / "schedules/job.yml").rename(folder / "pipelines/job.yml")
    (folder / "schedules/second.yml").unlink()
    found = load(folder, "file:../pipelines/job.yml")
    assert found.problems == ()
    assert [each.document.file for each in found.pipelines] == ["pipelines/job.yml"]


def test_settings_inputs_and_tags_go_where_they_belong(folder: Path) -> None:
    found = load(
        folder,
        """
  type: pipeline
  job: ./job.yml
  experiment_name: nights
  settings: {continue_on_step_failure: true, force_rerun: true, default_compute: azureml:gpu}
  inputs:
    size: 7
    who: ${{name}}
    data: {type: uri_file, path: azureml:x:1}
    local: {type: uri_file, path: ./x.csv}
  tags: {team: 5}
""",
    )
    action = only(found).trigger.action
    assert action.inputs == {"size": 7, "who": "${{name}}", "data": "azureml:x:1"}
    assert action.tags == {"team": "5"}
    assert (action.experiment_name, action.compute, action.force_rerun) == ("nights", "gpu", True)
    # What no action can say is the pipeline's, which is another one by that.
    assert action.pipeline == "night_run"
    [pipeline] = found.pipelines
    content = pipeline.document.content
    assert content["settings"] == {
        "default_compute": "azureml:cpu-cluster",
        "force_rerun": False,
        "continue_on_step_failure": True,
    }
    assert content["inputs"] == {"size": 1, "local": {"type": "uri_file", "path": "./x.csv"}}


def test_a_job_may_stand_in_the_schedule_itself(folder: Path) -> None:
    (folder / "schedules/job.yml").unlink()
    found = load(
        folder,
        """
  type: pipeline
  settings: {default_compute: azureml:cpu-cluster}
  jobs:
    a: {type: command, command: echo hi, environment: azureml:plain:1}
""",
    )
    assert only(found).trigger.action.pipeline == "night_run"
    [pipeline] = found.pipelines
    assert pipeline.document.line(("jobs", "a")) == 12
    assert [each.name for each in compiler.compile(pipeline).steps] != []


def test_a_job_of_one_command_is_wrapped_as_everywhere(folder: Path) -> None:
    (folder / "schedules/job.yml").write_text(
        "type: command\ncommand: echo hi\nenvironment: azureml:plain:1\ncompute: azureml:cpu\n"
    )
    [pipeline] = load(folder).pipelines
    assert compiler.compile(pipeline).settings == {"default_compute": "cpu"}


@pytest.mark.parametrize(
    ("create_job", "said"),
    [
        ("azureml:simple-job", "night.yml:8: azureml:simple-job names a job of one workspace"),
        ("{type: pipeline, job: azureml:simple}", "night.yml:8: azureml:simple names a job"),
        ("{type: command, job: ./job.yml}", "start pipelines, and this is of type command"),
        ("./gone.yml", "night.yml:8: schedules/gone.yml cannot be read: No such file"),
        ("{settings: {}}", "names the file of a pipeline job"),
        ("[x]", "names the file of a pipeline job"),
    ],
)
def test_jobs_that_cannot_be_had(folder: Path, create_job: str, said: str) -> None:
    found = [each for each in problems(folder, create_job) if "is no schedule" not in each]
    assert len(found) == 1
    assert said in found[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("name: night_run", "name: Night_Run"), "rename it, as 'night_run'"),
        (("name: night_run", "name: nächtlich"), "letters, digits"),
        (("name: night_run\n", ""), "name is None"),
        (("trigger:", "is_enabled: false\ntrigger:"), "is_enabled is no key of a schedule"),
        (("Tokyo Standard Time", "Asia/Tokyo"), "night.yml:7: time_zone is 'Asia/Tokyo'"),
        (("0 6 * * *", "0 6 * *"), "night.yml:6: spec.schedule.cron: '0 6 * *'"),
        (("create_job: ./job.yml", "create_monitor: {x: 1}"), "is a schedule of a monitor"),
        (("create_job: ./job.yml", "import_data: {x: 1}"), "imports data"),
    ],
)
def test_what_is_wrong_with_a_schedule_is_told_at_its_line(
    folder: Path, change: tuple[str, str], said: str
) -> None:
    (folder / "schedules/night.yml").write_text((_SCHEDULE % "./job.yml").replace(*change))
    found = [str(each) for each in definitions.load(folder).problems]
    assert any(said in each for each in found), found


def test_what_has_no_place_is_a_warning(folder: Path) -> None:
    (folder / "schedules/night.yml").write_text((_SCHEDULE % "./job.yml") + "properties: {a: b}\n")
    [warning] = definitions.load(folder).warnings
    assert str(warning).startswith("schedules/night.yml:9: properties: not kept")


def test_what_the_studio_shows_is_kept_and_its_mistakes_have_their_lines(folder: Path) -> None:
    shown = "display_name: Nights\ndescription: of all shops\ntags: {a: b, cost: 7}\n"
    file = folder / "schedules/night.yml"
    file.write_text((_SCHEDULE % "./job.yml") + shown)
    found = definitions.load(folder)
    schedule = only(found).trigger.spec.schedule
    assert schedule is not None
    assert schedule.studio is not None
    assert schedule.studio.model_dump() == {
        "display_name": "Nights",
        "description": "of all shops",
        "tags": {"a": "b", "cost": "7"},
    }
    assert found.warnings == ()

    file.write_text((_SCHEDULE % "./job.yml") + "display_name: [x]\ntags: {signalbox_run: x}\n")
    told = [str(each) for each in definitions.load(folder).problems]
    assert [each.split(": ")[0] for each in told] == [
        "schedules/night.yml:9",
        "schedules/night.yml:10",
    ]


def test_names_that_fall_together_are_refused(folder: Path) -> None:
    load(folder)
    (folder / "triggers").mkdir()
    (folder / "triggers/night_run.yml").write_text(
        "name: night_run\nspec: {http: {}}\naction: {pipeline: job}\n"
    )
    [problem] = definitions.load(folder).problems
    assert "defines the same trigger" in problem.message
    (folder / "triggers/night_run.yml").unlink()
    (folder / "other").mkdir()
    (folder / "other/job.yml").write_text(_JOB.replace("hi", "ho"))
    second = (_SCHEDULE % "../other/job.yml").replace("night_run", "second_run")
    (folder / "schedules/second.yml").write_text(second)
    [problem] = definitions.load(folder).problems
    assert "rename one of the files" in problem.message


def test_what_is_neither_a_schedule_nor_its_job_is_told(folder: Path) -> None:
    (folder / "schedules/other.yml").write_text(_JOB)
    [problem] = load(folder).problems
    assert problem.file == "schedules/other.yml"
    assert "is no schedule" in problem.message


def test_a_folder_of_one_schedule_is_enough_and_one_named_wrongly_is_told(folder: Path) -> None:
    assert load(folder).problems == ()
    (folder / "schedules").rename(folder / "schedule")
    [problem, *_] = definitions.load(folder).problems
    assert "is it meant to be schedules/?" in problem.message
