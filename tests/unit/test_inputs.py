"""The values that fit a pipeline's inputs."""

import json
import time
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.inputs import (
    DATA_TYPES,
    DataInput,
    PipelineInput,
    clean,
    latest_of,
    redacted,
    seal,
    secret,
    unsafe,
)


def take(type: str, value: Any, **declared: Any) -> Any:
    """The value as taken, or what is wrong with it."""
    try:
        return PipelineInput(type=type, **declared).take(value)
    except ValueError as error:
        return str(error)


URL = "https://contosolake.blob.core.windows.net/landing/a.csv"


@pytest.mark.parametrize(
    ("type", "value", "expected"),
    [
        ("string", "text", "text"),
        ("string", 7, "7"),
        ("string", 0.5, "0.5"),
        ("string", True, "true"),
        ("integer", 7, 7),
        ("integer", 0, 0),
        ("integer", "7", 7),
        ("integer", "-7", -7),
        ("integer", 7.0, 7),
        ("number", 0.5, 0.5),
        ("number", 7, 7),
        ("number", "0.5", 0.5),
        ("number", "1e3", 1000.0),
        ("boolean", True, True),
        ("boolean", False, False),
        ("boolean", "true", True),
        ("boolean", "False", False),
        ("uri_file", URL, DataInput(type="uri_file", path=URL)),
        ("uri_folder", "azureml://x", DataInput(type="uri_folder", path="azureml://x")),
        ("mltable", "azureml:data:1", DataInput(type="mltable", path="azureml:data:1")),
        ("mlflow_model", "wasbs://x", DataInput(type="mlflow_model", path="wasbs://x")),
        ("custom_model", "abfss://x", DataInput(type="custom_model", path="abfss://x")),
        ("triton_model", URL, DataInput(type="triton_model", path=URL)),
    ],
)
def test_a_value_is_bound_as_its_type(type: str, value: Any, expected: Any) -> None:
    bound = take(type, value)

    assert bound == expected
    assert bound.__class__ is expected.__class__


@pytest.mark.parametrize(
    ("type", "value"),
    [
        ("integer", True),
        ("integer", 7.5),
        ("integer", "seven"),
        ("integer", "1_000"),
        ("integer", float("inf")),
        ("number", True),
        ("number", "half"),
        ("number", "nan"),
        ("number", "-inf"),
        ("number", float("nan")),
        ("boolean", 1),
        ("boolean", "yes"),
        ("string", ["a"]),
        ("string", {"a": 1}),
        ("uri_file", "local.csv"),
        ("uri_file", "http://plain"),
        ("uri_file", "file:///etc/passwd"),
        ("uri_file", 7),
        ("uri_folder", True),
    ],
)
def test_a_value_of_another_type_is_a_problem(type: str, value: Any) -> None:
    assert repr(value) in take(type, value)


@pytest.mark.parametrize("type", ["string", "integer", "number", "boolean", "uri_file"])
def test_what_is_needed_and_not_bound_is_a_problem(type: str) -> None:
    assert "nothing is bound to it" in take(type, None)


@pytest.mark.parametrize(
    ("type", "default"), [("string", ""), ("integer", 0), ("number", 0.0), ("boolean", False)]
)
def test_a_default_is_taken_even_if_others_take_it_for_nothing(type: str, default: Any) -> None:
    bound = take(type, None, default=default)

    assert bound == default
    assert bound.__class__ is default.__class__


def test_a_default_path_is_taken_unless_another_is_bound() -> None:
    assert take("uri_file", None, path="azureml:a:1", mode="download") == DataInput(
        type="uri_file", path="azureml:a:1", mode="download"
    )
    assert take("uri_file", URL, path="azureml:a:1").path == URL


@pytest.mark.parametrize("type", ["integer", "number"])
def test_text_that_is_no_number_is_told_like_every_other_value(type: str) -> None:
    assert take(type, "seven") == f"'seven' is not of type {type}"


@pytest.mark.parametrize("text", ["2024_01", " 7", "7\n", "٧"])
@pytest.mark.parametrize("type", ["integer", "number"])
def test_text_is_a_number_only_if_it_looks_like_one(type: str, text: str) -> None:
    assert isinstance(take(type, text), str)


def test_an_integer_beyond_all_floats_is_bound_or_a_problem() -> None:
    assert take("number", 10**308) == 10**308
    assert "is not of type number" in take("number", 10**309)
    assert "is not of type number" in take("number", "1e400")


def test_data_types_are_those_of_the_compiler() -> None:
    for type in DATA_TYPES:
        assert isinstance(take(type, URL), DataInput)


def test_empty_text_is_a_problem_since_the_sdk_would_drop_it() -> None:
    assert "empty text" in take("string", "")
    assert "empty text" in take("string", "", default="x")
    assert take("string", "", default="") == ""


@pytest.mark.parametrize(
    "path",
    [
        "azureml:sales@newest",
        "azureml:sales@latest@latest",
        "azureml:/subscriptions/s/x@latest",
        "azureml://registries/r/data/x/labels/latest",
    ],
)
def test_data_that_means_something_else_tomorrow_is_a_problem(path: str) -> None:
    assert "means another version tomorrow" in take("uri_file", path)
    assert latest_of(path) is None


def test_the_latest_version_of_the_workspace_may_be_bound() -> None:
    assert take("uri_file", "azureml:sales@latest").path == "azureml:sales@latest"
    assert latest_of("azureml:sales@latest") == "sales"
    assert latest_of("azureml:sales:3") is None
    assert latest_of(None) is None


@pytest.mark.parametrize("type", ["string", "integer", "number", "boolean", "uri_file"])
@pytest.mark.parametrize("value", [None, ""])
def test_an_optional_input_that_is_given_nothing_is_left_out(type: str, value: Any) -> None:
    assert take(type, value, optional=True) is None


@pytest.mark.parametrize(
    ("type", "value"), [("string", "x"), ("integer", 0), ("number", 0.0), ("boolean", False)]
)
def test_an_optional_input_that_is_given_something_has_it(type: str, value: Any) -> None:
    assert take(type, value, optional=True) == value


def test_an_optional_input_with_a_default_has_that() -> None:
    assert take("integer", None, optional=True, default=0) == 0
    assert "empty text" in take("string", "", optional=True, default="x")
    path = {"optional": True, "path": "azureml:a:1"}
    assert take("uri_file", None, **path).path == "azureml:a:1"


@pytest.mark.parametrize(
    ("type", "value", "declared", "why"),
    [
        ("string", "warm", {"enum": ("fast", "slow")}, "'warm' is not one of fast, slow"),
        ("string", 3, {"enum": ("1", "2")}, "'3' is not one of 1, 2"),
        ("integer", 3, {"enum": (1, 2)}, "3 is not one of 1, 2"),
        ("integer", "0", {"min": 1}, "0 is less than 1, the least that the pipeline takes"),
        ("integer", 10.0, {"max": 9}, "10 is more than 9, the most that the pipeline takes"),
        ("number", 0.4, {"min": 0.5}, "0.4 is less than 0.5, the least that the pipeline takes"),
        ("number", "1e3", {"max": 9}, "1000.0 is more than 9, the most that the pipeline takes"),
    ],
)
def test_what_a_pipeline_does_not_take_is_told_with_what_it_takes(
    type: str, value: Any, declared: dict[str, Any], why: str
) -> None:
    assert take(type, value, **declared) == why


@pytest.mark.parametrize(
    ("type", "value", "declared"),
    [
        ("string", "slow", {"enum": ("fast", "slow")}),
        ("string", "5", {"min": 9}),
        ("boolean", True, {"max": 0}),
        ("number", 2.0, {"enum": (1, 2)}),
        ("integer", 1, {"min": 1, "max": 1}),
    ],
)
def test_what_a_pipeline_takes_is_bound(type: str, value: Any, declared: dict[str, Any]) -> None:
    assert take(type, value, **declared) == value


def test_a_pipeline_s_own_default_is_bound_though_it_is_none_of_its_choices() -> None:
    # AzureML compares no number with the choices of text; publishing warned of it.
    declared = PipelineInput(type="string", default=224, enum=("256", "512"))

    assert declared.take(None) == "224"
    with pytest.raises(ValueError, match="'224' is not one of 256, 512"):
        declared.take("224")


@pytest.mark.parametrize("value", [2**63, str(2**63), -(2**63) - 1, 1e300, "9" * 300])
def test_an_integer_has_64_bits(value: Any) -> None:
    assert "does not fit into 64 bits" in take("integer", value)


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63)])
def test_the_largest_integers_are_bound_exactly(value: int) -> None:
    assert take("integer", value) == value
    assert take("integer", str(value)) == value


def test_constraints_are_written_only_where_there_are_some() -> None:
    assert PipelineInput(type="string").model_dump().keys() == {"type", "default", "path", "mode"}
    declared = PipelineInput(type="integer", optional=True, enum=(0, 1), min=0, max=1)
    assert PipelineInput.model_validate_json(declared.model_dump_json()) == declared


@pytest.mark.parametrize(
    "text", ["$(id)", "`id`", "a;b", "a&b", "a|b", "a>b", "it's", 'a"b', "a\\b", "a\nb", "a%24(id)"]
)
def test_what_a_shell_would_act_on_is_unsafe(text: str) -> None:
    assert "on which a shell would act" in (unsafe(text) or "")


@pytest.mark.parametrize("value", ["Köln (1), v2.0_a-b=c+d:e@f~.csv", URL, 7, 0.5, False, ["$"]])
def test_what_a_shell_takes_as_it_stands_is_safe(value: Any) -> None:
    assert unsafe(value) is None


SECRETS = [
    "AccountKey=c2VjcmV0c2VjcmV0",
    "SharedAccessKey=c2VjcmV0c2VjcmV0",
    "SharedAccessSignature=sr=x&c2VjcmV0c2VjcmV0",
    "https://x.blob.core.windows.net/a?sv=1&sig=c2VjcmV0c2VjcmV0%3D",
    "eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.c2VjcmV0",
    "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\nc2VjcmV0\n-----END PRIVATE KEY-----",
    "-----BEGIN RSA PRIVATE KEY-----\nc2VjcmV0 and the end was cut off",
    "ghp_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0",
    "jwt-eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.c2VjcmV0",
    '"AccountKey":"c2VjcmV0c2VjcmV0=="',
    "{'SharedAccessKey': 'c2VjcmV0c2VjcmV0'}",
    'account_key="c2VjcmV0c2VjcmV0"',
    '"AccountKey": "-----BEGIN PRIVATE KEY-----\\nc2VjcmV0\\n-----END PRIVATE KEY-----"',
    "https://x/a?sv=1\\u0026sig=c2VjcmV0c2VjcmV0%3D",
    "https://x/a?sv=1\\u0026sig\\u003dc2Vj\\/cmV0c2VjcmV0c2VjcmV0",
    "https://x/a?sv=1&amp;sig=c2VjcmV0c2VjcmV0%3D",
    "Authorization: Bearer c2VjcmV0c2VjcmV0",
    '"authorization":"Basic c2VjcmV0c2VjcmV0"',
    "sent with bearer c2VjcmV0c2VjcmV0c2VjcmV0",
]


@pytest.mark.parametrize("text", SECRETS)
def test_a_secret_is_known_by_its_form_and_nothing_of_it_stays(text: str) -> None:
    for said in (text, f"before {text}", f"{text} ", f"before {text} {text}"):
        assert secret(said)
        assert "c2VjcmV0" not in redacted(said)
        assert "[secret]" in redacted(said)
        assert not secret(redacted(said))
        assert "everybody who sees the job could read" in (unsafe(said) or "")


@pytest.mark.parametrize("text", SECRETS)
def test_a_secret_is_known_however_often_it_was_written_as_json(text: str) -> None:
    for _ in range(3):
        text = json.dumps(text)
        assert "c2VjcmV0" not in redacted(text)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_signed_address_is_known_within_another_one(depth: int) -> None:
    inner = "https://x.blob.core.windows.net/a?sv=1&sig=c2VjcmV0c2VjcmV0%3D&se=2027"
    for _ in range(depth):
        inner = quote(inner, safe="")

    assert "c2VjcmV0" not in redacted(f"https://y/?to={inner}")


@pytest.mark.parametrize("text", SECRETS)
def test_what_is_kept_of_a_secret_tells_it_from_another_and_is_no_input(text: str) -> None:
    kept = clean({"a": [text, 7], text: None}, seal)

    assert "c2VjcmV0" not in json.dumps(kept)
    assert kept == clean({"a": [text, 7], text: None}, seal)
    assert clean(text, seal) != clean(text.replace("c2VjcmV0", "b3RoZXI0", 1), seal)
    assert "everybody who sees the job could read" in (unsafe(kept["a"][0]) or "")


def test_a_secret_is_known_by_the_name_that_it_stands_under() -> None:
    kept = clean({"AccountKey": "c2VjcmV0c2VjcmV0", "n": "c2VjcmV0c2VjcmV0"}, seal)

    assert kept["AccountKey"].startswith("[secret ")
    assert kept["n"] == "c2VjcmV0c2VjcmV0"


def test_what_stands_around_a_secret_stays() -> None:
    text = "Endpoint=sb://x/;SharedAccessKey=c2VjcmV0c2VjcmV0;EntityPath=inbox"

    assert redacted(text) == "Endpoint=sb://x/;[secret];EntityPath=inbox"
    said = '{"url": "https://x/a?sig=c2VjcmV0c2VjcmV0", "AccountKey": "c2VjcmV0c2VjcmV0", "n": 1}'
    assert redacted(said) == '{"url": "https://x/a[secret]", "[secret]", "n": 1}'
    pem = "a -----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY----- b"
    assert redacted(pem) == "a [secret] b"


@pytest.mark.parametrize(
    "text",
    [
        "AccountKey=",
        "AccountKey=short",
        "the key eyJ is not one",
        "https://x/a?signature=no&sig=short",
        "-----BEGIN CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----",
        "ghp_short",
        '"AccountKey": "short"',
        '"AccountKeyName": "not-a-key-at-all"',
        "Authorization: Bearer",
        "the bearer of this letter",
        "a.eyJ0ZXN0LWRhdGEtMQ.csv",
        "https://x/a?to=%26signature%3Dno",
        URL,
    ],
)
def test_what_only_looks_like_a_secret_is_left_alone(text: str) -> None:
    assert not secret(text)
    assert redacted(text) == text


#: What each branch of the pattern begins with, and where it may be led astray.
PIECES = """
    eyJ eyJ- eyJa. eyJaaaaaaaaaaa eyJaaaaaaaaaaa. .eyJ - A a1. ghp_ ?sig= &sig= %26sig%3D %25
    \\u0026 AccountKey= AccountKey="a AccountKey \\ " ' Bearer_ Authorization:_
    Authorization:_Bearer_ -----BEGIN_ -----BEGIN_A -----BEGIN_PRIVATE_KEY -----END_ PRIVATE_KEY _
"""
pieces = st.sampled_from([piece.replace("_", " ") for piece in PIECES.split()] + ["ghp_", "_"])


def seconds(piece: str, length: int) -> float:
    """The time that it takes to look for secrets in a piece said again and again."""
    text = (piece * (length // len(piece) + 1))[:length]
    started = time.process_time()
    redacted(text)
    return time.process_time() - started


@pytest.mark.parametrize(
    "piece", ["eyJ-", "eyJa.", "-----BEGIN ", "AccountKey=", "&sig=", "ghp_", "Bearer a", "\\"]
)
def test_four_times_the_text_takes_four_times_as_long_to_look_for_secrets(piece: str) -> None:
    assert seconds(piece, 200_000) <= 6 * seconds(piece, 50_000) + 0.3


@settings(max_examples=60, deadline=None)
@given(st.lists(pieces, min_size=1, max_size=4).map("".join))
def test_no_text_makes_looking_for_secrets_slow(piece: str) -> None:
    assert seconds(piece, 80_000) <= 6 * seconds(piece, 20_000) + 0.3
