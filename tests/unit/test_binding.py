"""From an event and an action to a job's body, or everything that stands in its way."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.binding import DEPLOYMENT_TAG, RUN_TAG, Bound, Origin, bind, pipeline_of
from shared.definitions import Action
from shared.errors import ExpressionInvalid
from shared.events import Event
from shared.inputs import DataInput
from shared.triggers import roots
from shared.workspace import JobBody
from tests.fakes import World
from tests.unit import scene

KEY = "AccountKey=c2VjcmV0c2VjcmV0c2VjcmV0"
URL = "https://contosolake.blob.core.windows.net/landing/a.csv"
SIGNED = f"{URL}?sv=2024&sig=c2VjcmV0c2VjcmV0c2VjcmV0"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIc2VjcmV0\nc2VjcmV0\n-----END RSA PRIVATE KEY-----"
TOKEN = "eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.c2VjcmV0"
SECRETS = [KEY, SIGNED, PEM, TOKEN, "ghp_" + "c2VjcmV0" * 5]


def happened(data: Any = None, **changes: Any) -> Event:
    given = {"id": "1", "source": "/orders", "type": "order.placed", "time": World().now}
    return Event.model_validate({**given, "data": data, **changes})


def bound(
    event: Event,
    *,
    takes: dict[str, dict[str, Any]] | None = None,
    published: dict[str, Any] | None = None,
    replay_of: str | None = None,
    datastores: dict[str, str] | None = None,
    **action: Any,
) -> Bound:
    known = roots(event, {"region": "north"}, {"stage": "dev"})
    origin = Origin(deployment="test", trigger="t", run_id="t.k", event=event, replay_of=replay_of)
    pipeline = scene.pipeline(inputs=takes or {}, **(published or {}))
    wanted = Action.model_validate({"pipeline": "p", **action})
    return bind(wanted, pipeline, known, origin, datastores or {})


def body(*args: Any, **how: Any) -> JobBody:
    found = bound(*args, **how)
    assert not found.problems
    assert found.body is not None
    return found.body


def problems(*args: Any, **how: Any) -> dict[str, str]:
    found = bound(*args, **how)
    assert found.body is None
    return dict(found.problems)


TEXT = {"note": {"type": "string"}}
NOTE = {"note": "${{ event.data }}"}


# Which pipeline.


def test_a_named_pipeline_is_that_one() -> None:
    assert pipeline_of(Action(pipeline="churn@v1"), {}) == "churn@v1"


def test_an_event_may_name_a_pipeline_that_is_allowed() -> None:
    action = Action(pipeline="${{ event.data.to }}", allow=("churn", "scoring"))

    assert pipeline_of(action, roots(happened({"to": "scoring"}), {}, {})) == "scoring"


@pytest.mark.parametrize("to", ["other", "churn@v1", "Churn", "", 5, ["churn"], {"churn": 1}, True])
def test_no_event_names_a_pipeline_that_is_not_allowed(to: Any) -> None:
    action = Action(pipeline="${{ event.data.to }}", allow=("churn", "scoring"))
    with pytest.raises(ExpressionInvalid, match="allowed are: churn, scoring"):
        pipeline_of(action, roots(happened({"to": to}), {}, {}))


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_that_is_named_as_a_pipeline_is_not_repeated(secret: str) -> None:
    action = Action(pipeline="${{ event.data.to }}", allow=("churn",))
    for padding in ("", "x" * 90):
        with pytest.raises(ExpressionInvalid) as caught:
            pipeline_of(action, roots(happened({"to": f"{padding} {secret}"}), {}, {}))
        assert "c2Vj" not in str(caught.value)
        assert len(str(caught.value)) < 300


# What nothing is bound to.


OPTIONAL = {"note": {"type": "string", "optional": True}, "rows": {"type": "integer", "default": 3}}


@pytest.mark.parametrize("data", [{}, {"note": None}, {"note": ""}])
def test_an_optional_input_is_left_out_when_the_event_has_nothing_for_it(data: Any) -> None:
    given = {"note": "${{ event.data.note }}"}

    assert body(happened(data), takes=OPTIONAL, inputs=given).inputs == {"rows": 3}


def test_an_optional_input_is_left_out_when_part_of_its_text_is_not_there() -> None:
    given = {"note": "from ${{ event.data.note }}"}

    assert body(happened({}), takes=OPTIONAL, inputs=given).inputs == {"rows": 3}


def test_an_optional_input_that_cannot_be_worked_out_is_a_problem() -> None:
    given = {"note": "${{ length(event.data.note) }}"}

    assert "cannot be worked out" in str(problems(happened({}), takes=OPTIONAL, inputs=given))


def test_what_is_not_optional_has_to_be_found() -> None:
    given = {"rows": "${{ event.data.rows }}"}

    assert "found nothing" in str(problems(happened({}), takes=OPTIONAL, inputs=given))


def test_what_is_not_allowed_is_told_with_its_name_its_value_and_what_is() -> None:
    takes = {"speed": {"type": "string", "enum": ["fast", "slow"]}}
    found = problems(happened("warm"), takes=takes, inputs={"speed": "${{ event.data }}"})

    assert found == {"inputs.speed": "'warm' is not one of fast, slow"}


# Data that a datastore covers.


@pytest.mark.parametrize(
    ("address", "path"),
    [
        (URL, "azureml://datastores/lake/paths/a.csv"),
        (URL.replace(".blob.", ".dfs."), "azureml://datastores/lake/paths/a.csv"),
        (f"{URL}/b%20c.csv", "azureml://datastores/lake/paths/a.csv/b c.csv"),
        (
            "wasbs://landing@contosolake.blob.core.windows.net/x/y",
            "azureml://datastores/lake/paths/x/y",
        ),
        (
            "https://contosolake.blob.core.windows.net/landing",
            "azureml://datastores/lake/paths/",
        ),
        (URL.replace("landing", "other"), URL.replace("landing", "other")),
        (f"{URL}?snapshot=2026", f"{URL}?snapshot=2026"),
        ("azureml:data:1", "azureml:data:1"),
    ],
)
def test_data_is_bound_through_the_datastore_that_covers_it(address: str, path: str) -> None:
    found = body(
        happened(address),
        takes={"rows": {"type": "uri_file"}, "said": {"type": "string"}},
        inputs={"rows": "${{ event.data }}", "said": "${{ event.data }}"},
        datastores={"contosolake/landing": "lake"},
    )

    assert found.inputs == {"rows": DataInput(type="uri_file", path=path), "said": address}


def test_an_address_that_hides_a_character_for_a_shell_is_refused_all_the_same() -> None:
    found = problems(
        happened(f"{URL}%24(id)"),
        takes={"rows": {"type": "uri_file"}},
        inputs={"rows": "${{ event.data }}"},
        datastores={"contosolake/landing": "lake"},
    )

    assert "a shell would act" in found["inputs.rows"]


# What an event says is never taken for more than it is.


EXPRESSIONS = [
    "${{ settings.stage }}",
    "${{ event.id }}",
    "a ${{ captures.region }} b",
    "${{",
    "}}",
    "${{ settings.stage || '",
    "' || settings.stage || '",
]


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_an_expression_that_an_event_holds_stays_text_or_is_refused(text: str) -> None:
    made = body(happened(text), tags={"t": "${{ event.data }}", "u": "in ${{ event.data }}."})

    assert made.tags["t"] == text
    assert made.tags["u"] == f"in {text}."
    found = bound(happened(text), takes=TEXT, inputs=NOTE)
    assert found.body is None or found.body.inputs == {"note": text}
    assert "dev" not in found.text
    assert "north" not in found.text
    assert body(happened(text), experiment_name="${{ event.data }}").experiment_name == text
    named = body(happened(text), compute="${{ event.data }}")
    assert named.settings["default_compute"] == text


def test_the_tags_that_say_where_a_job_comes_from_are_never_another_s() -> None:
    forged = {RUN_TAG: "forged", DEPLOYMENT_TAG: "forged", "signalbox_trigger": "forged"}
    made = body(happened(), tags=forged, published={"tags": forged})

    assert made.tags[RUN_TAG] == "t.k"
    assert made.tags[DEPLOYMENT_TAG] == "test"
    assert made.tags["signalbox_trigger"] == "t"
    assert "signalbox_replay_of" not in made.tags
    assert body(happened(), replay_of="t.j").tags["signalbox_replay_of"] == "t.j"


# Secrets.


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_becomes_no_input_and_no_word_of_why(secret: str) -> None:
    for data in (secret, f"see {secret}", [secret], {"a": secret}):
        found = problems(happened(data), takes=TEXT, inputs=NOTE)
        assert found.keys() == {"inputs.note"}
        assert "c2Vj" not in str(found)


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("type", ["integer", "number", "boolean", "uri_file"])
def test_a_secret_of_the_wrong_type_is_not_repeated(secret: str, type: str) -> None:
    found = problems(
        happened({"a": secret}),
        takes={"x": {"type": type}, "y": {"type": type}},
        inputs={"x": "${{ event.data.a }}", "y": "of ${{ event.data.a }}"},
        tags={"t": "${{ length(event.data) < event.data.a }}", "u": "${{ abs(event.data.a) }}"},
    )

    assert found.keys() == {"inputs.x", "inputs.y", "tags.t", "tags.u"}
    assert "c2Vj" not in str(found)


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_reaches_nothing_that_others_see_of_a_job(secret: str) -> None:
    event = happened(secret, subject=secret, id=secret, source=secret, messageid=secret)
    made = body(
        event,
        tags={"t": "${{ event.data }}", secret: "x"},
        experiment_name="${{ event.data }}",
        compute="${{ event.data }}",
    )

    assert "c2Vj" not in made.model_dump_json()
    assert "[secret]" in made.tags["t"]
    assert made.display_name == "churn-training: " + made.tags["signalbox_event_subject"]


def test_a_secret_that_is_cut_off_is_none_either() -> None:
    # Cut first, half of it would not look like one any more.
    made = body(
        happened(), tags={"t": "x" * 250 + KEY}, published={"display_name": "x" * 250 + KEY}
    )

    assert "AccountKey" not in made.tags["t"] + made.display_name
    assert (len(made.tags["t"]), len(made.display_name)) == (256, 255)


def test_what_is_wrong_is_told_at_some_length() -> None:
    found = problems(
        happened("x" * 100_000), takes={"x": {"type": "integer"}}, inputs={"x": NOTE["note"]}
    )

    assert len(found["inputs.x"]) == 500


# All at once.


def test_everything_that_is_wrong_is_told_by_its_place() -> None:
    found = bound(
        happened({"bad": "$(id)", "n": "many"}),
        takes={
            "a": {"type": "string"},
            "b": {"type": "integer"},
            "c": {"type": "uri_file"},
            "d": {"type": "string"},
        },
        inputs={
            "a": "${{ event.data.bad }}",
            "b": "${{ event.data.n }}",
            "d": "${{ event.data.none }}",
            "e": "x",
        },
        tags={"t": "${{ event.none }}"},
        compute="${{ event.none }}",
        experiment_name="${{ event.none }}",
    )

    assert found.problems.keys() == {
        *(f"inputs.{name}" for name in "abcde"),
        "tags.t",
        "compute",
        "experiment_name",
    }
    assert "a shell would act" in found.problems["inputs.a"]
    assert "needs this data" in found.problems["inputs.c"]
    # An expression that found nothing says so itself.
    assert "found nothing" in found.problems["inputs.d"]
    assert found.text.startswith("compute: ")
    assert "; inputs.a: " in found.text
    assert "\n" not in found.text


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (scene.event("sales/a.csv"), "churn-training: sales/a.csv"),
        (happened(subject="order 7", messageid="m"), "churn-training: order 7"),
        (happened(messageid="m"), "churn-training: m"),
        (happened(), "churn-training: 1"),
    ],
)
def test_a_job_is_named_after_what_set_it_off(event: Event, name: str) -> None:
    assert body(event).display_name == name


def test_what_cannot_be_printed_is_spelled_in_names_and_tags() -> None:
    made = body(happened(subject="a\nb\x1b[2J\u202e", id="1\x00"), tags={"t": "x\ty"})

    assert made.display_name == "churn-training: a\\nb\\x1b[2J\\u202e"
    assert made.tags["signalbox_event_subject"] == "a\\nb\\x1b[2J\\u202e"
    assert made.tags["signalbox_event_id"] == "1\\x00"
    assert made.tags["t"] == "x\\ty"


def test_every_job_says_where_it_comes_from_however_long_that_is() -> None:
    long = "x" * 2048
    made = body(happened(id=long, source=long, subject=long), replay_of="t.j")

    assert made.tags == {
        "signalbox_deployment": "test",
        "signalbox_trigger": "t",
        "signalbox_run": "t.k",
        "signalbox_pipeline": "churn-training@v1",
        "signalbox_event_id": long[:256],
        "signalbox_event_source": long[:256],
        "signalbox_event_subject": long[:256],
        "signalbox_replay_of": "t.j",
    }
    assert len(made.display_name) == 255


def test_a_pipeline_s_own_name_for_its_jobs_comes_first() -> None:
    assert body(happened(), published={"display_name": "Churn"}).display_name == "Churn: 1"


def test_a_compute_is_named_with_or_without_its_prefix() -> None:
    for name in ("gpu", "azureml:gpu"):
        assert body(happened(), compute=name).settings["default_compute"] == "gpu"
    assert body(happened()).settings == {"default_compute": "azureml:cpu-cluster"}


@pytest.mark.parametrize("force", [True, False])
def test_a_rerun_is_forced_only_when_that_is_said(force: bool) -> None:
    assert body(happened(), force_rerun=force).settings["force_rerun"] is force
    assert "force_rerun" not in body(happened()).settings


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"))
    | st.sampled_from([*SECRETS, *EXPRESSIONS, "$(id)", URL]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=5,
)
types = st.sampled_from(["string", "integer", "number", "boolean", "uri_file", "mltable"])
templates = st.sampled_from(["${{ event.data }}", "x ${{ event.data }}", "${{ event.data.a }}", 7])


@given(json_values, types, templates)
def test_any_data_makes_a_body_that_can_be_kept_or_problems_without_secrets(
    data: Any, type: str, template: Any
) -> None:
    found = bound(
        happened(data),
        takes={"x": {"type": type}},
        inputs={"x": template},
        tags={"t": "${{ event.data || 'none' }}"},
        experiment_name="e-${{ event.data || 'none' }}",
    )

    assert (found.body is None) == bool(found.problems)
    assert "c2Vj" not in found.text
    if found.body is None:
        return
    assert JobBody.model_validate_json(found.body.model_dump_json()) == found.body
    assert "c2Vj" not in found.body.model_dump_json()
    value = found.body.inputs["x"]
    told = value.path if isinstance(value, DataInput) else value
    # Nothing is taken for an expression: what is bound is what the event says.
    if template == "${{ event.data }}" and type == "string" and isinstance(data, str):
        assert told == data
    assert template == 7 or "$(" not in json.dumps(told)
