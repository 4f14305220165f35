from pathlib import Path

import pytest

from shared import definitions
from shared.definitions import Definitions, TriggerDefinition

PIPELINE = "type: pipeline\njobs: {}\n"
TRIGGER = """\
name: on-upload
spec:
  blob: {account: contosolake, container: landing, path: "sales/{file}.csv"}
  filter:
    prefix: {subject: /blobServices}
action:
  pipeline: churn-training
  inputs:
    rate: 0.5
    fast: true
    seed: 7
    code: "007"
    data: ${{ event.data.url }}
"""


def load(folder: Path, documents: dict[str, str]) -> Definitions:
    for name, text in documents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return definitions.load(folder)


def problems(folder: Path, documents: dict[str, str]) -> list[str]:
    return [str(problem) for problem in sorted(load(folder, documents).problems)]


def trigger_problems(folder: Path, text: str) -> list[str]:
    return problems(folder, {"triggers/on-upload.yml": text})


def test_reads_a_folder(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        {
            "pipelines/churn-training.yml": PIPELINE,
            "pipelines/scoring.yaml": PIPELINE,
            "pipelines/notes.txt": "not a definition",
            "pipelines/code/part.yml": "not a definition",
            "triggers/on-upload.yml": TRIGGER,
        },
    )

    assert [pipeline.name for pipeline in found.pipelines] == ["churn-training", "scoring"]
    assert [pipeline.component_name for pipeline in found.pipelines] == [
        "churn_training",
        "scoring",
    ]
    assert [file.trigger.name for file in found.triggers] == ["on-upload"]
    assert found.triggers[0].document.file == "triggers/on-upload.yml"
    assert found.problems == ()


def test_values_of_a_trigger_keep_their_types(tmp_path: Path) -> None:
    [file] = load(tmp_path, {"triggers/on-upload.yml": TRIGGER}).triggers
    inputs = file.trigger.action.inputs

    assert inputs == {
        "rate": 0.5,
        "fast": True,
        "seed": 7,
        "code": "007",
        "data": "${{ event.data.url }}",
    }
    assert [type(value) for value in inputs.values()] == [float, bool, int, str, str]
    assert TriggerDefinition.model_validate_json(file.trigger.model_dump_json()) == file.trigger


def test_a_folder_without_definitions_says_what_it_expected(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, {"README.md": ""})

    assert str(tmp_path) in problem
    assert "pipelines/*.yml, triggers/*.yml, schedules/*.yml or computes/*.yml" in problem


def test_a_folder_in_the_singular_is_not_passed_over(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        {
            "pipelines/churn-training.yml": PIPELINE,
            "trigger/on-upload.yml": TRIGGER,
            "compute/cpu.yaml": "type: amlcompute",
            # No definitions are in this one.
            "pipeline/prepare.py": "",
        },
    )

    assert len(found) == 2
    assert found[0].startswith("compute: is a folder that is not read; is it meant to be computes/")
    assert found[1].startswith("trigger: is a folder that is not read; is it meant to be triggers/")


def test_tells_the_problems_of_all_documents_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        {
            "pipelines/Churn.yml": PIPELINE,
            "pipelines/broken.yml": "a: [",
            "pipelines/two-words.yml": PIPELINE,
            "pipelines/two_words.yml": PIPELINE,
            "triggers/late.yml": TRIGGER,
            "triggers/on-upload.yml": TRIGGER.replace("account", "acount"),
        },
    )

    assert [problem.split(": ")[0] for problem in found] == [
        "pipelines/Churn.yml:1",
        "pipelines/broken.yml:1",
        "pipelines/two_words.yml:1",
        "triggers/late.yml:1",
        "triggers/on-upload.yml:3",
        "triggers/on-upload.yml:3",
    ]
    assert "lower-case letters" in found[0]
    assert "pipelines/two-words.yml; rename one" in found[2]
    assert "must equal the file name" in found[3]
    assert "spec.blob.account is missing" in found[4]
    assert "spec.blob.acount is not a key that is known here" in found[5]


def test_what_is_well_comes_along_with_the_problems(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        {
            "pipelines/broken.yml": "a: [",
            "pipelines/scoring.yml": PIPELINE,
            "triggers/on-upload.yml": TRIGGER,
            "triggers/other.yml": "name: other",
        },
    )

    assert [pipeline.name for pipeline in found.pipelines] == ["scoring"]
    assert [file.trigger.name for file in found.triggers] == ["on-upload"]
    assert {problem.file for problem in found.problems} == {
        "pipelines/broken.yml",
        "triggers/other.yml",
    }


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("name: on-upload\n", "", "on-upload.yml:1: name is missing"),
        ("  pipeline: churn-training", "  pipelines: x", "on-upload.yml:6: action.pipeline is"),
        ("pipeline: churn-training", "pipeline: Churn", "on-upload.yml:7: action.pipeline is no"),
        ("pipeline: churn-training", "pipeline: churn@", "action.pipeline is no pipeline: name,"),
        ("account: contosolake", "account: Contoso", "spec.blob.account is no storage account's"),
        ("container: landing", "container: la--nding", "spec.blob.container is no container's"),
        ('path: "sales/{file}.csv"', 'path: ""', "on-upload.yml:3: spec.blob.path must not be"),
        ("prefix:", "nto:", "on-upload.yml:5: spec.filter.nto is not a key"),
        ("prefix:", "not:", "on-upload.yml:5: spec.filter.not.subject is not a key"),
        ("{subject:", "{data.url:", "'data.url' is no attribute of an event; use id, source, type"),
        ("spec:", "spec: 5\nx:", "on-upload.yml:2: spec is not a mapping"),
    ],
)
def test_names_the_line_of_a_mistake(tmp_path: Path, old: str, new: str, place: str) -> None:
    assert old in TRIGGER

    assert any(
        place in problem for problem in trigger_problems(tmp_path, TRIGGER.replace(old, new))
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("filter:", "filtr:", "spec.filtr is not a key that is known here; did you mean 'filter'?"),
        ("path:", "pth:", "spec.blob.pth is not a key that is known here; did you mean 'path'?"),
        ("prefix:", "all: [{exct: {}}]\n    prefix:", "did you mean 'exact'?"),
        ("prefix:", "not: {ot: {}}\n    prefix:", "did you mean 'not'?"),
        ("action:", "polices: {}\naction:", "did you mean 'policies'?"),
        ("action:", "policies: {maxdepth: 2}\naction:", "did you mean 'max_depth'?"),
        ("inputs:", "input: {}\n  inputs:", "did you mean 'inputs'?"),
        ("action:", "zzz: {}\naction:", "zzz is not a key that is known here; check its spelling"),
    ],
)
def test_a_wrong_key_is_told_with_what_was_meant(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    found = trigger_problems(tmp_path, TRIGGER.replace(old, new, 1))

    assert any(problem.endswith(said) for problem in found), found


def test_mistakes_of_all_parts_of_a_trigger_are_told_at_once(tmp_path: Path) -> None:
    text = TRIGGER.replace("filter:", "were: x\n  fliter:").replace("inputs:", "inptus:")
    found = trigger_problems(tmp_path, text.replace("account: contosolake", "account: A"))

    for said in ("letters and digits", "mean 'where'?", "mean 'filter'?", "mean 'inputs'?"):
        assert sum(problem.endswith(said) for problem in found) == 1, found


def test_texts_that_the_studio_cannot_show_are_told_with_the_rest(tmp_path: Path) -> None:
    text = r"""name: on-upload
spec:
  fliter: x
  schedule:
    engine: azureml
    cron: 0 6 * * *
    studio: {display_name: "two\nlines", description: "two\nlines\e[2J", tags: {a: "fine\n"}}
action:
  pipeline: churn-training
  compute: "cpu\u202egpj"
  experiment_name: 7
  tags: {"te\am": x, cost: "\0"}
"""

    assert [problem.partition(":")[2] for problem in trigger_problems(tmp_path, text)] == [
        "3: spec.fliter is not a key that is known here; did you mean 'filter'?",
        "7: spec.schedule.studio.description has a control character (U+001B); take it out",
        "7: spec.schedule.studio.display_name has a line end, and must be one line",
        "10: action.compute has a control character (U+202E); take it out",
        "11: action.experiment_name must be text; put it in quotes",
        "12: action.tags has a control character (U+0007); take it out",
        "12: action.tags.cost has a control character (U+0000); take it out",
    ]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("http", "on-upload.yml:3: spec.http has nothing in it; write `http: {}`"),
        ("run", "on-upload.yml:3: spec.run has nothing in it; write `run: {}`"),
        ("event", "on-upload.yml:3: spec.event.type is missing"),
        ("service_bus", "spec.service_bus: name a queue, or a topic and its subscription"),
    ],
)
def test_a_source_with_nothing_in_it_is_told_with_its_remedy(
    tmp_path: Path, source: str, said: str
) -> None:
    text = f"name: on-upload\nspec:\n  {source}:\naction: {{pipeline: churn-training}}\n"
    [found] = trigger_problems(tmp_path, text)

    assert found.endswith(said)


@pytest.mark.parametrize("name", ["A", "1a", "-a", "a.b", "a" * 64, "ä", "a b"])
def test_a_file_name_is_a_name(tmp_path: Path, name: str) -> None:
    assert problems(tmp_path, {f"pipelines/{name}.yml": PIPELINE})


def test_the_longest_name_is_one(tmp_path: Path) -> None:
    name = "a" * 63

    assert load(tmp_path, {f"pipelines/{name}.yml": PIPELINE}).pipelines[0].name == name


@pytest.mark.parametrize("value", ["[1, 2]", "{a: b}", "", "2024-01-01"])
def test_an_input_that_is_no_literal_is_one_problem(tmp_path: Path, value: str) -> None:
    found = trigger_problems(tmp_path, TRIGGER.replace("rate: 0.5", f"rate: {value}"))

    assert len(found) == 1
    assert found[0].startswith("triggers/on-upload.yml:9: action.inputs.rate")


def test_two_files_cannot_define_one_trigger(tmp_path: Path) -> None:
    other = TRIGGER.replace("sales/", "other/")
    found = problems(
        tmp_path, {"triggers/on-upload.yaml": other, "triggers/on-upload.yml": TRIGGER}
    )

    assert "on-upload.yaml" in found[0]


def test_two_files_cannot_define_one_pipeline(tmp_path: Path) -> None:
    [found] = problems(tmp_path, {"pipelines/a.yaml": PIPELINE, "pipelines/a.yml": PIPELINE})

    assert "pipelines/a.yaml; rename one of them" in found


def test_a_wrong_name_is_told_with_the_rest(tmp_path: Path) -> None:
    text = TRIGGER.replace("name: on-upload", "name: other").replace("account", "acount")

    assert any("must equal the file name" in found for found in trigger_problems(tmp_path, text))


def test_only_yml_and_yaml_files_are_definitions(tmp_path: Path) -> None:
    found = load(tmp_path, {"pipelines/a.yml": PIPELINE, "pipelines/b.youml": PIPELINE})

    assert [pipeline.name for pipeline in found.pipelines] == ["a"]


# Sources: each says where it listens, and says it well.

SPEC = 'spec:\n  blob: {account: contosolake, container: landing, path: "sales/{file}.csv"}\n'


def trigger_of(folder: Path, spec: str) -> TriggerDefinition:
    assert SPEC in TRIGGER
    text = TRIGGER.replace(SPEC, f"spec:\n  {spec}\n")
    found = load(folder, {"triggers/on-upload.yml": text})
    assert found.problems == ()
    return found.triggers[0].trigger


@pytest.mark.parametrize(
    ("spec", "source", "pattern"),
    [
        ('blob: {account: lake, container: $web, path: "{file}"}', "blob", "{file}"),
        ("service_bus: {queue: orders/new}", "service_bus", None),
        (
            "service_bus: {topic: news, subscription: all, dedupe_by: message_id}",
            "service_bus",
            None,
        ),
        ("http: {}", "http", None),
        ("run: {}", "run", None),
        ("run: {pipeline: churn, trigger: nightly, status: [failed, canceled]}", "run", None),
        ("run: {status: failed}", "run", None),
        ('event: {type: order.placed, source: /x, subject: "orders/{id}"}', "event", "orders/{id}"),
    ],
)
def test_a_trigger_is_for_one_source(
    tmp_path: Path, spec: str, source: str, pattern: str | None
) -> None:
    found = trigger_of(tmp_path, spec)

    assert (found.spec.source, found.spec.pattern) == (source, pattern)
    assert TriggerDefinition.model_validate_json(found.model_dump_json()) == found


def test_a_queue_and_a_subscription_are_named_as_events_come(tmp_path: Path) -> None:
    queue = trigger_of(tmp_path, "service_bus: {queue: inbox}").spec.service_bus
    topic = trigger_of(tmp_path, "service_bus: {topic: news, subscription: all}").spec.service_bus

    assert queue is not None
    assert topic is not None
    assert (queue.via, topic.via) == ("queue/inbox", "topic/news/all")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (
            "http: {}\n  run: {}",
            "name exactly one of blob, service_bus, schedule, http, run, event; there is",
        ),
        ("where: x", "there is none"),
        ("http:", "write `http: {}`"),
        ("service_bus: {}", "name a queue, or a topic and its subscription"),
        ("service_bus: {topic: news}", "name a queue, or a topic and its subscription"),
        ("service_bus: {subscription: all}", "name a queue, or a topic and its subscription"),
        ("service_bus: {queue: a, topic: b, subscription: c}", "name a queue, or a topic and"),
        ("service_bus: {queue: a, subscription: c}", "name a queue, or a topic and"),
        ("service_bus: {queue: -a}", "spec.service_bus.queue"),
        ("service_bus: {queue: a, dedupe_by: id}", "spec.service_bus.dedupe_by"),
        ("http: {path: x}", "spec.http.path is not a key that is known here"),
        ("run: {status: []}", "spec.run.status"),
        ("run: {status: completed-ish}", "spec.run.status"),
        ("run: {status: dead_letter}", "spec.run.status"),
        ("run: {pipeline: a@v1}", "spec.run.pipeline"),
        ("event: {source: /x}", "spec.event.type is missing"),
        ("schedule:", "name exactly one of cron and every; there is neither"),
        ("schedule: {every: PT59S}", "schedule.every: must be from PT1M to P366D"),
        ("schedule: {every: PT1H}\n  where: x", "leave out filter and where: a schedule has no"),
        ("schedule: {every: PT1H}", "leave out filter: a schedule has no"),
        ("clock: {}", "spec.clock is not a key"),
        ("http: {}\n  where: ''", "spec.where"),
    ],
)
def test_a_source_that_is_not_said_well_is_told(tmp_path: Path, spec: str, said: str) -> None:
    found = trigger_problems(tmp_path, TRIGGER.replace(SPEC, f"spec:\n  {spec}\n"))

    assert any(said in problem for problem in found), found


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ("pipeline: ${{ event.data.to }}", "list in `allow` which ones it may name"),
        ("pipeline: churn\n  allow: [a]", "allow is for a pipeline that is an expression"),
        ("pipeline: ${{ event.data.to }}\n  allow: [a@v1]", "action.allow.0"),
        ("pipeline: churn@v1@v2", "action.pipeline"),
        ("pipeline: ../churn", "action.pipeline"),
    ],
)
def test_an_event_names_only_pipelines_that_are_listed(
    tmp_path: Path, action: str, said: str
) -> None:
    text = TRIGGER.replace("pipeline: churn-training", action)

    assert any(said in problem for problem in trigger_problems(tmp_path, text))


def test_an_action_knows_every_pipeline_that_it_may_name(tmp_path: Path) -> None:
    def pipelines(action: str) -> tuple[str, ...]:
        text = TRIGGER.replace("pipeline: churn-training", action)
        return load(tmp_path, {"triggers/on-upload.yml": text}).triggers[0].trigger.action.pipelines

    assert pipelines("pipeline: churn@v1.2") == ("churn@v1.2",)
    assert pipelines("pipeline: ${{ event.data.to }}\n  allow: [a, b]") == ("a", "b")


@pytest.mark.parametrize("name", ["manual", "unreadable"])
def test_a_trigger_takes_no_name_that_the_ledger_needs(tmp_path: Path, name: str) -> None:
    text = TRIGGER.replace("on-upload", name)
    [found] = problems(tmp_path, {f"triggers/{name}.yml": text})

    assert "keeps for itself; choose another" in found


def of(spec: str) -> str:
    """The trigger with another `spec`."""
    before, rest = TRIGGER.split("spec:")
    return f"{before}{spec}action:{rest.split('action:')[1]}"


TIMES = "spec:\n  schedule: {every: PT1H}\n"


@pytest.mark.parametrize(
    ("spec", "given", "policies"),
    [
        (SPEC, "{}", ("buffer_all", 20, "hold")),
        (TIMES, "{}", ("skip", 1, "drop")),
        (
            TIMES,
            "{overlap: buffer_one, while_paused: hold, concurrency: {key: x}}",
            ("buffer_one", 1, "hold"),
        ),
        (
            TIMES,
            "{concurrency: {limit: unlimited}}",
            ("skip", None, "drop"),
        ),
    ],
)
def test_what_policies_do_not_say_depends_on_the_source(
    tmp_path: Path, spec: str, given: str, policies: tuple[object, ...]
) -> None:
    text = f"{of(spec)}policies: {given}\n"
    trigger = load(tmp_path, {"triggers/on-upload.yml": text}).triggers[0].trigger
    held = trigger.policies

    assert (held.overlap, held.concurrency.limit, held.while_paused) == policies
    assert TriggerDefinition.model_validate_json(trigger.model_dump_json()) == trigger


@pytest.mark.parametrize(
    ("spec", "rest", "said"),
    [
        (SPEC, "policies: {overlap: buffer_one}", "buffer_one is for batches and schedules"),
        (SPEC, "policies: {overlap: skip, batch: {}}", "would lose a whole batch"),
        ("spec:\n  http: {}\n", "sweep: {}", "sweep is for blob triggers"),
        (TIMES, "policies: {batch: {}}", "batch is for events"),
        (TIMES, "sweep: {}", "sweep is for blob triggers"),
    ],
)
def test_what_fits_no_trigger_of_this_source_is_told_at_its_line(
    tmp_path: Path, spec: str, rest: str, said: str
) -> None:
    text = f"{of(spec)}{rest}\n"
    [found] = trigger_problems(tmp_path, text)

    assert said in found
    assert f":{text.count(chr(10))}: " in found


@pytest.mark.parametrize("depth", [0, 101, -1])
def test_a_chain_has_a_depth(tmp_path: Path, depth: int) -> None:
    text = f"{TRIGGER}policies: {{max_depth: {depth}}}\n"

    assert any("policies.max_depth" in problem for problem in trigger_problems(tmp_path, text))
