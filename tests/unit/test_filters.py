"""CloudEvents' filter dialects."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.events import Event
from shared.filters import described, failed
from shared.specs import Filter
from tests.fakes import World

EVENT = Event.model_validate(
    {
        "id": "A-1",
        "source": "/orders",
        "type": "order.placed",
        "subject": "orders/7",
        "time": World().now,
        "data": {"amount": 7},
        "tenant": "north",
        "urgent": True,
        "empty": "",
    }
)


def wanted(**parts: Any) -> Filter:
    return Filter.model_validate({name.removesuffix("_"): part for name, part in parts.items()})


NO = {"exact": {"id": "other"}}
YES = {"exact": {"id": "A-1"}}


@pytest.mark.parametrize(
    ("filter", "no"),
    [
        ({}, None),
        ({"exact": {"type": "order.placed", "tenant": "north"}}, None),
        ({"exact": {"type": "order"}}, "exact type order"),
        ({"exact": {"type": "order.placed", "id": "x"}}, "exact id x"),
        ({"exact": {"urgent": "true"}}, None),
        ({"prefix": {"subject": "orders/"}}, None),
        ({"prefix": {"subject": "Orders/"}}, "prefix subject Orders/"),
        ({"suffix": {"type": ".placed"}}, None),
        ({"suffix": {"type": "placed."}}, "suffix type placed."),
        ({"all": [YES, {"prefix": {"type": "order"}}]}, None),
        ({"all": [YES, NO]}, "all: exact id other"),
        ({"any": [NO, YES]}, None),
        ({"any": [NO, NO]}, "any of 2"),
        ({"not": NO}, None),
        ({"not": YES}, "not exact id A-1"),
        ({"not": {"not": YES}}, None),
        ({"not": {"any": [NO, YES]}}, "not any of (exact id other; exact id A-1)"),
        ({"all": [{"any": [{"not": YES}]}]}, "all: any of 1"),
        # Every dialect of one filter must hold.
        ({**YES, "prefix": {"id": "B"}}, "prefix id B"),
        ({**YES, "not": YES}, "not exact id A-1"),
    ],
)
def test_the_first_part_that_does_not_hold_is_told(filter: dict[str, Any], no: str | None) -> None:
    assert failed(wanted(**filter), EVENT) == no


@pytest.mark.parametrize("dialect", ["exact", "prefix", "suffix"])
def test_an_attribute_that_is_not_there_is_never_what_was_asked_for(dialect: str) -> None:
    for text in ("x", ""):
        assert failed(wanted(**{dialect: {"missing": text}}), EVENT) == f"{dialect} missing {text}"


def test_an_attribute_that_is_not_there_is_not_empty_text() -> None:
    assert failed(wanted(exact={"empty": ""}), EVENT) is None
    assert failed(wanted(exact={"missing": ""}), EVENT) is not None


@pytest.mark.parametrize(
    ("filter", "said"),
    [
        ({}, ""),
        ({"exact": {"id": "1", "type": "t"}}, "exact id 1 and exact type t"),
        (
            {"suffix": {"id": "1"}, "any": [YES, NO], "not": YES},
            "suffix id 1 and any of (exact id A-1; exact id other) and not (exact id A-1)",
        ),
        ({"all": [{"prefix": {"id": "1"}}]}, "all of (prefix id 1)"),
    ],
)
def test_a_filter_is_described_on_one_line(filter: dict[str, Any], said: str) -> None:
    assert described(wanted(**filter)) == said


@pytest.mark.parametrize("name", ["data", "Type", "data.amount", "", "a_b", "x" * 21])
def test_a_filter_is_about_attributes(name: str) -> None:
    with pytest.raises(ValidationError, match="no attribute of an event"):
        wanted(exact={name: "x"})


def test_a_filter_has_a_size() -> None:
    assert wanted(any=[YES] * 50)
    with pytest.raises(ValidationError):
        wanted(any=[YES] * 51)


def test_a_filter_is_written_as_it_is_read() -> None:
    filter = wanted(**{"not": {"any": [YES, NO], "prefix": {"id": "x"}}})

    assert Filter.model_validate_json(filter.model_dump_json()) == filter
    assert '"not":' in filter.model_dump_json()


names = st.sampled_from(["id", "source", "type", "subject", "tenant", "urgent", "missing"])
texts = st.sampled_from(["A-1", "A", "1", "/orders", "order", "placed", "north", "true", "", "7"])
asked = st.dictionaries(names, texts, max_size=2)
leaves = st.fixed_dictionaries({}, optional={"exact": asked, "prefix": asked, "suffix": asked})
filters = st.recursive(
    leaves,
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "exact": asked,
            "all": st.lists(inner, max_size=3),
            "any": st.lists(inner, max_size=3),
            "not": inner,
        },
    ),
    max_leaves=8,
)


def holds(filter: dict[str, Any]) -> bool:
    """What CloudEvents says, word for word."""
    known = {
        "id": "A-1",
        "source": "/orders",
        "type": "order.placed",
        "subject": "orders/7",
        "tenant": "north",
        "urgent": "true",
    }
    parts = [
        *(known.get(name) == text for name, text in filter.get("exact", {}).items()),
        *(
            name in known and known[name].startswith(text)
            for name, text in filter.get("prefix", {}).items()
        ),
        *(
            name in known and known[name].endswith(text)
            for name, text in filter.get("suffix", {}).items()
        ),
        *(holds(part) for part in filter.get("all", [])),
    ]
    if filter.get("any"):
        parts.append(any(holds(part) for part in filter["any"]))
    if "not" in filter:
        parts.append(not holds(filter["not"]))
    return all(parts)


@given(filters)
def test_a_filter_says_no_exactly_when_it_does_not_hold(filter: dict[str, Any]) -> None:
    no = failed(Filter.model_validate(filter), EVENT)

    assert (no is None) == holds(filter)
    assert no is None or (no and "\n" not in no)


@given(filters)
def test_whatever_a_filter_asks_for_stands_in_its_description(filter: dict[str, Any]) -> None:
    said = described(Filter.model_validate(filter))

    def parts(filter: dict[str, Any]) -> list[str]:
        return [
            *(
                f"{dialect} {name} {text}"
                for dialect in ("exact", "prefix", "suffix")
                for name, text in filter.get(dialect, {}).items()
            ),
            *(part for inner in filter.get("all", []) for part in parts(inner)),
            *(part for inner in filter.get("any", []) for part in parts(inner)),
            *(parts(filter["not"]) if "not" in filter else []),
        ]

    assert all(part in said for part in parts(filter))
