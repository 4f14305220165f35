"""What is wrong with a value that somebody wrote, in words for a person: never a type of Python's,
and never the value itself, which may be a secret."""

import unicodedata
from collections.abc import Mapping
from typing import Any

from pydantic import AfterValidator

_TEXT = "must be text; put it in quotes"
_NUMBER = "must be a number"
_WHOLE = "must be a whole number"
_TRUTH = "must be true or false"
_LIST = "must be a list"
_MAPPING = "is not a mapping (key: value)"
_JSON = "is not JSON"
_MOMENT = "is no date with a time of day; write 2026-03-14T06:00:00Z"
_DAY = "is no date; write 2026-03-14"
_CLOCK = "is no time of day; write 06:00:00"
_DURATION = "is no duration; write it as ISO 8601 does: PT30S, PT5M, PT1H, P1D"
_ADDRESS = "is no address, as in https://host/path"

#: pydantic's type of error -> what is said, with what the error knows.
#: Source: https://docs.pydantic.dev/latest/errors/validation_errors/
_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is not known here; check its spelling",
    "invalid_key": "is a key that is no text; put it in quotes",
    "none_required": "must be left out",
    "string_type": _TEXT,
    "string_unicode": "has characters that are not Unicode",
    "bool_type": _TRUTH,
    "bool_parsing": _TRUTH,
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": "has too many digits",
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "decimal_type": _NUMBER,
    "decimal_parsing": _NUMBER,
    "finite_number": "must be a number, and neither .inf nor .nan",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "union_tag_invalid": "must be one of {expected_tags}",
    "union_tag_not_found": "does not say of which kind it is",
    "list_type": _LIST,
    "tuple_type": _LIST,
    "set_type": _LIST,
    "frozen_set_type": _LIST,
    "iterable_type": _LIST,
    "dict_type": _MAPPING,
    "mapping_type": _MAPPING,
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "dataclass_type": _MAPPING,
    "json_invalid": _JSON,
    "json_type": _JSON,
    "datetime_type": _MOMENT,
    "datetime_parsing": _MOMENT,
    "datetime_object_invalid": _MOMENT,
    "datetime_from_date_parsing": _MOMENT,
    "timezone_aware": "must say its offset from UTC, as 2026-03-14T06:00:00Z does",
    "timezone_naive": "must be without an offset, as 2026-03-14T06:00:00",
    "date_type": _DAY,
    "date_parsing": _DAY,
    "date_from_datetime_parsing": _DAY,
    "date_from_datetime_inexact": _DAY,
    "time_type": _CLOCK,
    "time_parsing": _CLOCK,
    "time_delta_type": _DURATION,
    "time_delta_parsing": _DURATION,
    "url_type": _ADDRESS,
    "url_parsing": _ADDRESS,
    "url_syntax_violation": _ADDRESS,
    "url_scheme": _ADDRESS,
}

#: What a length is counted in, and the errors of one that is too short or too long.
_LENGTHS = {
    "string_too_short": ("character", "min_length"),
    "string_too_long": ("character", "max_length"),
    "too_short": ("entry", "min_length"),
    "too_long": ("entry", "max_length"),
}
_MANY = {"character": "characters", "entry": "entries"}


#: Errors of our own checks, whose texts are for users.
_OWN = ("value_error", "assertion_error")


def at(place: str, error: Mapping[str, Any], forms: Mapping[str, str]) -> str:
    """One of pydantic's errors with its place: "limit must be at most 200". See `in_words`."""
    words = in_words(error, forms)
    colon = ":" if error["type"] in _OWN else ""
    return f"{place}{colon} {words}" if place else words


def in_words(error: Mapping[str, Any], forms: Mapping[str, str]) -> str:
    """One of pydantic's errors, to be read behind its place: "must be at most 200".

    `forms` has what is said of a text that does not fit a pattern.
    """
    kind, known = str(error["type"]), error.get("ctx") or {}
    if kind in _OWN:
        return str(known.get("error") or _said(error))
    if kind == "string_pattern_mismatch":
        return forms.get(str(known.get("pattern"))) or "is not of the form that it must have"
    if kind in _LENGTHS:
        return _length(*_LENGTHS[kind], known)
    found = _WORDS.get(kind, "is not what it must be")
    return found.format_map({name: str(value) for name, value in known.items()})


def _length(one: str, bound: str, known: Mapping[str, Any]) -> str:
    number = int(known.get(bound) or 0)
    if bound == "min_length" and number == 1:
        return "must not be empty"
    counted = one if number == 1 else _MANY[one]
    return f"must have at {'least' if bound == 'min_length' else 'most'} {number:,} {counted}"


def _said(error: Mapping[str, Any]) -> str:
    text = str(error.get("msg", ""))
    return text.removeprefix("Value error, ").removeprefix("Assertion failed, ")


def unprintable(text: str, *, lines: bool = False) -> str | None:
    """What makes a text unfit for being shown, to be read behind its place; None when nothing does.

    `lines` when it may have several.
    """
    for character in text:
        if character == "\n" or (lines and character in "\r\t"):
            if lines:
                continue
            return "has a line end, and must be one line"
        # Those that turn the direction of writing make a text look like another.
        turns = unicodedata.bidirectional(character) in _TURNING
        if turns or unicodedata.category(character) in _CONTROL:
            return f"has a control character (U+{ord(character):04X}); take it out"
    return None


_CONTROL = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TURNING = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})


def _one_line(text: str) -> str:
    if why := unprintable(text):
        raise ValueError(why)
    return text


def _lines(text: str) -> str:
    if why := unprintable(text, lines=True):
        raise ValueError(why)
    return text


#: Has pydantic refuse text that cannot be shown: on one line, or on several.
ONE_LINE, LINES = AfterValidator(_one_line), AfterValidator(_lines)
