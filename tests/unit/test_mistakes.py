"""What is wrong with a value, told to a person who has never seen Python."""

import re
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import core_schema

from shared import definitions, mistakes, settings
from shared.api import bodies, problems
from shared.definitions import ALL_FORMS, TriggerDefinition
from shared.errors import SettingsInvalid
from shared.mistakes import unprintable

#: What only somebody knows who writes Python, or what pydantic begins its sentences with.
_PYTHON = re.compile(
    r"(?i)tuple|dict|\blist of\b|frozen|iterable|\bstring|boolean|\bint\b|integer|float|"
    r"(?-i:\bNone\b)|instance|object|value error|assertion|input should|argument|attribute|pattern|"
    r"finite|literal|timedelta|datetime|parse|parsing|\{|\}"
)

#: What pydantic knows beside an error, of any type.
_KNOWN: dict[str, Any] = {
    **dict.fromkeys(("ge", "gt", "le", "lt", "multiple_of", "min_length", "max_length"), 7),
    "expected": "'hold' or 'drop'",
    "expected_tags": "'a', 'b'",
    "field_type": "Tuple",
    "actual_length": 51,
    "pattern": "^x$",
    "error": "is what our own check says",
}


@pytest.mark.parametrize("kind", get_args(core_schema.ErrorType))
def test_no_type_of_error_is_told_in_python_s_words(kind: str) -> None:
    said = mistakes.at("spec.x", {"type": kind, "ctx": _KNOWN, "msg": "Tuple"}, {})

    assert said.startswith("spec.x")
    assert len(said) > len("spec.x is ")
    assert not _PYTHON.search(said.removeprefix("spec.x"))


def _trigger(**changes: Any) -> dict[str, Any]:
    return {
        "name": "on-upload",
        "spec": {"http": {}},
        "action": {"pipeline": "churn-training"},
        **changes,
    }


def _schedule(**changes: Any) -> dict[str, Any]:
    return _trigger(spec={"schedule": {"cron": "0 6 * * *", **changes}})


#: What is wrong in a trigger, and what is said of it.
_OF_TRIGGERS: list[tuple[dict[str, Any], str]] = [
    ({}, "name is missing"),
    (_trigger(name=5), "name must be text; put it in quotes"),
    (_trigger(name="On Upload"), "name is no name: lower-case letters"),
    (_trigger(zzz=1), "zzz is not a key that is known here; check its spelling"),
    (_trigger(action=[]), "action is not a mapping (key: value)"),
    (_trigger(action={"pipeline": "p" * 601}), "action.pipeline must have at most 600 characters"),
    (_trigger(action={"pipeline": "p", "allow": "q"}), "action.allow must be a list"),
    (_trigger(action={"pipeline": "p", "inputs": 5}), "action.inputs is not a mapping"),
    (_trigger(action={"pipeline": "p", "tags": {5: "x"}}), "action.tags.5 must be text"),
    (_trigger(action={"pipeline": "p", "tags": {"a": 5}}), "action.tags.a must be text"),
    (
        _trigger(action={"pipeline": "p", "force_rerun": "perhaps"}),
        "action.force_rerun must be true or false",
    ),
    (_trigger(action={"pipeline": "p", "force_rerun": []}), "action.force_rerun must be true or"),
    (_trigger(action={"pipeline": "p", "inputs": {"a": []}}), "action.inputs.a: must be text, a"),
    (_trigger(spec={"http": {}, "where": ""}), "spec.where must not be empty"),
    (_trigger(spec={}), "spec: name exactly one of blob"),
    (
        _trigger(spec={"run": {"status": "over"}}),
        "spec.run.status.0 must be 'completed', 'failed' or 'canceled'",
    ),
    (_trigger(spec={"run": {"status": []}}), "spec.run.status must not be empty"),
    (
        _trigger(spec={"http": {}, "filter": {"all": [{}] * 51}}),
        "spec.filter.all must have at most 50 entries",
    ),
    (
        _schedule(cron=[f"{n} 6 * * *" for n in range(51)]),
        "spec.schedule.cron must have at most 50 ",
    ),
    (_schedule(start_time="tomorrow"), "spec.schedule.start_time: is no date with a time of day"),
    (_schedule(start_time="2026-13-14T06:00:00"), "spec.schedule.start_time is no date with a"),
    (_schedule(jitter="soon"), "spec.schedule.jitter: 'soon' is no duration; write it as ISO"),
    (
        _schedule(engine="azureml", studio={"tags": {str(n): "x" for n in range(41)}}),
        "spec.schedule.studio.tags must have at most 40 entries",
    ),
    (_trigger(policies={"retry": {"max_attempts": 0}}), "policies.retry.max_attempts must be at "),
    (
        _trigger(policies={"retry": {"max_attempts": 11}}),
        "policies.retry.max_attempts must be at m",
    ),
    (
        _trigger(policies={"retry": {"max_attempts": 1.5}}),
        "policies.retry.max_attempts must be a w",
    ),
    (
        _trigger(policies={"retry": {"max_attempts": "x"}}),
        "policies.retry.max_attempts must be a w",
    ),
    (_trigger(policies={"max_depth": []}), "policies.max_depth must be a whole number"),
    (_trigger(policies={"max_depth": float("inf")}), "policies.max_depth must be a number, and"),
    (_trigger(policies={"while_paused": "x"}), "policies.while_paused must be 'hold' or 'drop'"),
]


@pytest.mark.parametrize(("content", "said"), _OF_TRIGGERS)
def test_what_is_wrong_in_a_trigger_is_told(content: dict[str, Any], said: str) -> None:
    told = list(_told(TriggerDefinition, content))

    assert any(each.startswith(said) for each in told), told
    assert not [each for each in told if _PYTHON.search(each.partition(" ")[2].split("'")[0])]


def _told(model: type[BaseModel], content: dict[str, Any]) -> Iterator[str]:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(content)
    return map(definitions._in_words, caught.value.errors())


@pytest.mark.parametrize(
    ("model", "content", "place", "said"),
    [
        (bodies.RunRequest, [], "", "is not a mapping (key: value)"),
        (bodies.RunRequest, {"input": {}}, "input", "is not known here; check its spelling"),
        (bodies.RunRequest, {"inputs": []}, "inputs", "is not a mapping (key: value)"),
        (
            bodies.RunRequest,
            {"inputs": {"a b": 1}},
            "inputs.a b",
            "is no name of an input: letters",
        ),
        (bodies.RunRequest, {"inputs": {"a": None}}, "inputs.a", "must be text, a number, true or"),
        (bodies.RunRequest, {"tags": {"a": 5}}, "tags.a", "must be text; put it in quotes"),
        (bodies.RunRequest, {"tags": {"a": "\x07"}}, "tags.a", "has a control character (U+0007)"),
        (bodies.RunRequest, {"compute": "a\nb"}, "compute", "has a line end, and must be one line"),
        (bodies.RunRequest, {"compute": ""}, "compute", "must not be empty"),
        (bodies.RunRequest, {"compute": "x" * 256}, "compute", "must have at most 255 characters"),
        (bodies.RunRequest, {"force_rerun": "yes"}, "force_rerun", "must be true or false"),
        (
            bodies.RunRequest,
            {"tags": {f"a{n}": "x" for n in range(51)}},
            "tags",
            "must have at most 50 entries",
        ),
        (bodies.BlobsThere, {"limit": "5"}, "limit", "must be a whole number"),
        (bodies.BlobsThere, {"limit": 201}, "limit", "must be at most 200"),
        (bodies.BlobsThere, {"limit": 0}, "limit", "must be at least 1"),
        (bodies.PauseRequest, {}, "note", "is missing"),
        (
            bodies.PauseRequest,
            {"note": "x", "while_paused": "x"},
            "while_paused",
            "must be 'hold' or 'drop'",
        ),
        (bodies.SweepRequest, {"lookback": 5}, "lookback", "'5' is no duration; write it as ISO"),
        (bodies.ReplaySelection, {"runs": "x"}, "runs", "must be a list"),
        (bodies.ReplaySelection, {"since": 5}, "since", "is no date with a time of day"),
        (bodies.ReplaySelection, {"since": "x"}, "since", "is no time; write it as ISO 8601 does"),
    ],
)
def test_what_is_wrong_in_a_body_is_told(
    model: type[BaseModel], content: Any, place: str, said: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(content)
    [found] = problems.places(caught.value)

    assert found.place == place
    assert found.message.startswith(said)
    assert not _PYTHON.search(found.message.split("'")[0])


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("SIGNALBOX_DEPLOYMENT", "A", "SIGNALBOX_DEPLOYMENT must be lower-case letters, digits"),
        ("SIGNALBOX_STATE_ACCOUNT", "A", "SIGNALBOX_STATE_ACCOUNT is no storage account's name"),
        ("SIGNALBOX_STATE_CONTAINER", "A", "SIGNALBOX_STATE_CONTAINER is no container's name: 3"),
        ("SIGNALBOX_SUBSCRIPTION_ID", "A", "SIGNALBOX_SUBSCRIPTION_ID is no subscription's id"),
        ("SIGNALBOX_WORKSPACE", "", "SIGNALBOX_WORKSPACE must not be empty"),
        ("SIGNALBOX_PLATFORM_AUTHENTICATION", "x", "SIGNALBOX_PLATFORM_AUTHENTICATION must be tr"),
        ("SIGNALBOX_DATASTORES", "lake", "SIGNALBOX_DATASTORES: "),
    ],
)
def test_what_is_wrong_in_a_setting_is_told(setting: str, value: str, said: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        settings.load({setting: value})
    told = str(caught.value).splitlines()

    assert any(line.startswith(said) for line in told), told
    assert "SIGNALBOX_RESOURCE_GROUP is missing" in told


def _patterns(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if schema.get("type") == "str" and "pattern" in schema:
            yield schema["pattern"]
        for each in schema.values():
            yield from _patterns(each)
    elif isinstance(schema, list | tuple):
        for each in schema:
            yield from _patterns(each)


def test_every_form_that_a_text_must_have_is_told_in_words() -> None:
    models = [each for each in vars(bodies).values() if isinstance(each, type)]
    for forms, of in (
        (ALL_FORMS, [TriggerDefinition]),
        (settings.FORMS, [settings.Settings]),
        (problems.FORMS, [each for each in models if issubclass(each, bodies.Body)]),
    ):
        found = [pattern for model in of for pattern in _patterns(TypeAdapter(model).core_schema)]
        assert found
        assert [pattern for pattern in OrderedDict.fromkeys(found) if pattern not in forms] == []


@pytest.mark.parametrize(
    ("text", "lines", "why"),
    [
        ("Wöchentlich 👩‍💻\u00a0§", False, None),
        ("a\nb\r\n\tc", True, None),
        ("a\nb", False, "has a line end, and must be one line"),
        ("a\tb", False, "has a control character (U+0009); take it out"),
        ("a\x00b", True, "has a control character (U+0000); take it out"),
        ("a\x1b[2J", True, "has a control character (U+001B); take it out"),
        ("a\x85b", True, "has a control character (U+0085); take it out"),
        ("a\u2028b", True, "has a control character (U+2028); take it out"),
        ("fdp.\u202egpj", True, "has a control character (U+202E); take it out"),
        ("\ud800", True, "has a control character (U+D800); take it out"),
    ],
)
def test_text_that_cannot_be_shown_is_refused(text: str, lines: bool, why: str | None) -> None:
    assert unprintable(text, lines=lines) == why


@pytest.mark.parametrize(
    ("place", "key", "value"),
    [
        ("spec.schedule.studio.display_name", "display_name", '"a\\nb"'),
        ("spec.schedule.studio.description", "description", '"a\\x07b"'),
        ("spec.schedule.studio.tags.a", "tags", '{a: "\\x1b[2J"}'),
        ("spec.schedule.studio.tags", "tags", '{"a\\0": b}'),
        ("action.tags.a", "tags", '{a: "\\x07"}'),
        ("action.tags", "tags", '{"\\e": b}'),
        ("action.experiment_name", "experiment_name", '"a\\nb"'),
        ("action.compute", "compute", '"cpu\\x7f"'),
    ],
)
def test_texts_of_a_trigger_that_cannot_be_shown_are_refused(
    tmp_path: Path, place: str, key: str, value: str
) -> None:
    shown = {"spec": "tags: {a: b}", "action": "tags: {a: b}"}
    shown[place.split(".")[0]] = f"{key}: {value}"
    _nightly(tmp_path, studio=shown["spec"], action=shown["action"])
    [problem] = definitions.load(tmp_path).problems

    assert problem.message.startswith(f"{place} has a ")
    assert problem.line == (7 if place.startswith("spec") else 10)


def test_a_description_may_have_several_lines(tmp_path: Path) -> None:
    _nightly(tmp_path, studio='description: "Every night:\\n\\tall shops\\n"', action="tags: {}")

    assert definitions.load(tmp_path).problems == ()


def _nightly(folder: Path, *, studio: str, action: str) -> None:
    """A schedule of AzureML, with a line of what its studio shows and one of its action."""
    file = folder / "triggers/nightly.yml"
    file.parent.mkdir()
    file.write_text(
        "name: nightly\n"
        "spec:\n"
        "  schedule:\n"
        "    cron: 0 6 * * *\n"
        "    engine: azureml\n"
        "    studio:\n"
        f"      {studio}\n"
        "action:\n"
        "  pipeline: churn\n"
        f"  {action}\n"
    )
