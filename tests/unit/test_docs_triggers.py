"""The page about triggers says what a trigger may say, and its examples work."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from shared import binding, compiler, definitions, envelopes, events, expressions, lint, manifests
from shared.binding import Origin
from shared.compiler import CompiledPipeline
from shared.definitions import Definitions, TriggerDefinition, TriggerFile
from shared.events import Event
from shared.index import IndexedTrigger
from shared.lint import Ports
from shared.published import PublishedPipeline
from shared.specs import SOURCES, Filter
from shared.telemetry import TRACE_TAG
from shared.triggers import Match, Matcher, roots
from tests.unit.pages import ROOT, Block, Page, codes, page, pages

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)
TRIGGERS = "docs/triggers.md"
SCHEMA = ROOT / "docs/schemas/trigger.schema.json"
EXAMPLE = ROOT / "examples/tumour-screening"
BATCHES = ROOT / "examples/day-report"
RETRAINING = ROOT / "examples/nightly-retraining"

#: What messages come from in the examples.
LISTENS = ("queue/signalbox-events", "topic/company-news/signalbox")


# Keys of a trigger


def leaves(model: type[BaseModel], place: str = "") -> Iterator[str]:
    """Every key of a document that has no keys below it, as `spec.blob.path`."""
    for name, field in model.model_fields.items():
        key = f"{place}{field.alias or name}"
        part = _model_in(field.annotation)
        # What is a filter is told once.
        again = part is Filter and key != "spec.filter"
        if part is None or part is model or not part.model_fields or again:
            yield key
        else:
            yield from leaves(part, f"{key}.")


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = [_model_in(part) for part in getattr(annotation, "__args__", ())]
    return next((model for model in found if model), None)


def test_every_key_of_a_trigger_is_in_the_table_and_nothing_else() -> None:
    keys = page(TRIGGERS).keys("key", "meaning")

    assert sorted(keys) == sorted(leaves(TriggerDefinition))


def test_every_source_has_its_section() -> None:
    sections = [heading for heading in page(TRIGGERS).headings() if heading.endswith("`")]

    assert [codes(heading)[0] for heading in sections] == list(SOURCES)


# The published schema


def schema() -> dict[str, Any]:
    """The JSON Schema of trigger documents; a key's description is its line in the table."""
    made = TriggerDefinition.model_json_schema(by_alias=True)
    for key, meaning in page(TRIGGERS).table("key", "meaning"):
        *way, name = codes(key)[0].split(".")
        part = made
        for step in way:
            part = _below(made, part["properties"][step])
        part["properties"][name]["description"] = re.sub(r"\[(.*?)\]\(.*?\)", r"\1", meaning)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def _below(made: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    options = [part, *part.get("anyOf", [])]
    reference = next(option["$ref"] for option in options if "$ref" in option)
    found: dict[str, Any] = made["$defs"][reference.rpartition("/")[2]]
    return found


def test_the_schema_for_editors_is_the_model_s(regenerate_golden: bool) -> None:
    text = json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"
    if regenerate_golden:
        SCHEMA.write_text(text)

    assert SCHEMA.read_text() == text


def test_the_schema_takes_every_example_and_tells_typing_mistakes() -> None:
    checker = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))
    examples = [yaml.safe_load(block.text) for _, block in _trigger_blocks()]

    assert [list(checker.iter_errors(example)) for example in examples] == [[]] * len(examples)
    assert not checker.is_valid({**examples[0], "polices": {}})
    assert not checker.is_valid({"name": "x", "spec": {"http": {"path": "x"}}, "action": {}})


# Examples


def _yaml_blocks() -> Iterator[tuple[Page, Block]]:
    for here in pages():
        for block in here.blocks("yaml"):
            yield here, block


def _trigger_blocks() -> list[tuple[Page, Block]]:
    return [found for found in _yaml_blocks() if "spec" in yaml.safe_load(found[1].text)]


def _written(folder: Path) -> Definitions:
    """All YAML examples as one folder of definitions, beside the example's pipeline."""
    (folder / "triggers").mkdir()
    (folder / "pipelines").mkdir()
    (folder / "computes").mkdir()
    (folder / "schedules").mkdir()
    for _, block in _yaml_blocks():
        content = yaml.safe_load(block.text)
        if "spec" not in content:
            found = re.match(r"# ((?:pipelines|computes|schedules)/\S+)", block.text)
            assert found, f"the example begins with its file's name: {block.text}"
            (folder / found[1]).write_text(block.text)
        else:
            (folder / "triggers" / f"{content['name']}.yml").write_text(block.text)
    return definitions.load(folder)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Definitions:
    return _written(tmp_path_factory.mktemp("docs"))


@cache
def _example(folder: Path = EXAMPLE) -> CompiledPipeline:
    [pipeline] = definitions.load(folder).pipelines
    return compiler.compile(pipeline)


@pytest.fixture(scope="module")
def compiled(written: Definitions) -> dict[str, CompiledPipeline]:
    found = [
        _example(),
        _example(BATCHES),
        _example(RETRAINING),
        *(compiler.compile(pipeline) for pipeline in written.pipelines),
    ]
    return {pipeline.name: pipeline for pipeline in found}


def test_every_example_is_a_document_without_problems(
    written: Definitions, compiled: dict[str, CompiledPipeline]
) -> None:
    ports: dict[str, Ports | None] = {
        name: (pipeline.inputs, pipeline.outputs) for name, pipeline in compiled.items()
    }
    problems = [*written.problems]
    for file in written.triggers:
        problems += lint.check(file, ports, LISTENS)

    assert problems == []
    assert len(written.triggers) > len(SOURCES)
    assert {file.trigger.spec.source for file in written.triggers} == set(SOURCES)


def test_the_first_trigger_is_the_one_that_the_demo_runs() -> None:
    files = definitions.load(EXAMPLE).triggers
    [file] = [file for file in files if file.trigger.name == "retrain-on-upload"]
    for name in ("README.md", TRIGGERS):
        shown = yaml.safe_load(page(name).blocks("yaml")[0].text)
        demo = file.trigger.model_dump(exclude_defaults=True)
        assert shown["spec"] == demo["spec"]
        assert shown["action"].items() <= demo["action"].items()


def _event_of(file: TriggerFile, text: str) -> Event:
    """The event that is shown below a trigger, as it would come to it."""
    trigger = file.trigger
    if service_bus := trigger.spec.service_bus:
        [event] = envelopes.message(
            text.encode(),
            via=service_bus.via,
            sequence_number=7,
            enqueued=NOW,
            message_id="m-1",
            subject="screening",
            properties={"site": "harbour"},
        )
        return event
    content = json.loads(text)
    if trigger.spec.http:
        via = f"{events.HTTP}{trigger.name}"
        return envelopes.request(content, id="k", source="/http", type="x", via=via, now=NOW)
    via = f"{events.RUN}{content['data']['pipeline']}" if trigger.spec.run else ""
    [event] = envelopes.parse(content, via=via, now=NOW)
    return event


def test_each_source_s_event_is_taken_and_bound_by_its_trigger(
    written: Definitions, compiled: dict[str, CompiledPipeline]
) -> None:
    shown = page(TRIGGERS)
    by_name = {file.trigger.name: file for file in written.triggers}
    bodies = {block.heading: block.text for block in shown.blocks("json")}
    # A schedule has no event.
    assert len(bodies) == len(SOURCES) - 1
    for block in shown.blocks("yaml"):
        if block.heading not in bodies:
            continue
        file = by_name[yaml.safe_load(block.text)["name"]]
        event = _event_of(file, bodies[block.heading])
        since = datetime(2026, 1, 1, tzinfo=UTC)
        indexed = IndexedTrigger(definition=file.trigger, revision="1", effective_from=since)
        [verdict] = Matcher({file.trigger.name: indexed}, {}).match(event)
        assert isinstance(verdict, Match), verdict
        known = roots(event, verdict.captures, {})
        pipeline = _published(compiled[binding.pipeline_of(file.trigger.action, known)])
        origin = Origin(deployment="x", trigger=file.trigger.name, run_id="x.1", event=event)
        bound = binding.bind(file.trigger.action, pipeline, known, origin, {})
        assert bound.problems == {}
        assert bound.body is not None


def test_the_batch_is_that_of_the_example_and_made_as_the_page_says(
    compiled: dict[str, CompiledPipeline],
) -> None:
    [file] = definitions.load(BATCHES).triggers
    trigger = file.trigger
    [shown] = [
        yaml.safe_load(block.text)
        for block in page(TRIGGERS).blocks("yaml")
        if block.heading == "Batches"
    ]
    assert TriggerDefinition.model_validate(shown) == trigger
    since = datetime(2026, 1, 1, tzinfo=UTC)
    indexed = IndexedTrigger(definition=trigger, revision="1", effective_from=since)
    verdicts = []
    for name in ("aix.csv", "_SUCCESS"):
        event = _upload(f"sales/2026-03-14/{name}")
        [verdict] = Matcher({trigger.name: indexed}, {}).match(event)
        assert isinstance(verdict, Match)
        verdicts.append(verdict)
    assert [one.releases for one in verdicts] == [False, True]
    [line] = page(TRIGGERS).blocks("jsonl")
    told = json.loads(manifests.line(_upload("sales/2026-03-14/aix.csv"), verdicts[0].captures))
    told_there = json.loads(line.text)
    assert told_there["captures"] == told["captures"]
    assert told_there["event"].keys() == told["event"].keys() - {"via"}
    assert told_there["event"]["data"]["url"] == told["event"]["data"]["url"]
    manifest = "azureml://datastores/workspaceblobstore/paths/signalbox/x/y.jsonl"
    event = Event(
        id="x.1",
        source="/signalbox/x",
        type=events.BATCH_TYPE,
        time=NOW,
        data={"group": {"day": "2026-03-14"}, "manifest": manifest},
        via=f"{events.BATCH}{trigger.name}",
    )
    origin = Origin(deployment="x", trigger=trigger.name, run_id="x.1", event=event)
    pipeline = _published(compiled["day-report"])
    bound = binding.bind(trigger.action, pipeline, roots(event, {}, {}), origin, {})
    assert bound.problems == {}
    assert bound.body
    assert bound.body.experiment_name == "sales-2026-03-14"


def _upload(path: str) -> Event:
    url = f"https://contosolake.blob.core.windows.net/landing/{path}"
    return Event(
        id="1",
        source="/s",
        type=events.BLOB_CREATED,
        subject=events.blob_subject("landing", path),
        time=NOW,
        data={"url": url},
    )


def _published(pipeline: CompiledPipeline) -> PublishedPipeline:
    return PublishedPipeline(
        name=pipeline.name,
        version=pipeline.version,
        component_id="id",
        inputs=pipeline.inputs,
        outputs=pipeline.outputs,
        settings=pipeline.settings,
        tags=pipeline.tags,
    )


def test_expressions_become_what_the_page_says() -> None:
    here = page(TRIGGERS)
    shown = re.search(r"whose `data` is\n`(\{.*\})`", here.text)
    assert shown
    known = {"event": {"data": json.loads(shown[1])}}
    rows = here.table("written", "becomes")

    assert len(rows) > 5
    for written, becomes in rows:
        # A backtick inside code cannot be told from the end of it: the cell is taken whole.
        found = expressions.evaluate(written.strip("`"), known)
        assert json.dumps(found) == becomes.strip("`"), written


def test_the_tags_of_a_job_are_all_named() -> None:
    event = Event(id="1", source="/s", type="t", time=NOW)
    origin = Origin(deployment="d", trigger="t", run_id="t.1", event=event, replay_of="t.0")
    named = set(re.findall(r"`(signalbox_\w+)`", page(TRIGGERS).text))

    assert named == {*origin.tags(_published(_example())), TRACE_TAG}


def test_the_schema_s_line_leads_from_the_example_to_the_schema() -> None:
    found = re.search(r"\$schema=(\S+)", page(TRIGGERS).text)

    assert found
    assert (EXAMPLE / "triggers" / found[1]).resolve() == SCHEMA
