import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import expressions
from shared.errors import ExpressionInvalid

KNOWN: dict[str, Any] = {
    "event": {
        "subject": "/landing/a.csv",
        "data": {"contentLength": 0, "flag": False, "empty": "", "list": [1, 2], "nothing": None},
    },
    "captures": {"region": "north"},
}
ROOTS: dict[str, frozenset[str] | None] = {"event": None, "captures": frozenset({"region"})}

json_values = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


@given(json_values)
def test_a_whole_value_keeps_its_type(value: Any) -> None:
    found = expressions.evaluate("${{ x }}", {"x": value})

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("${{ event.data.contentLength }}", 0),
        ("${{event.data.flag}}", False),
        ("  ${{ event.data.empty }}\n", ""),
        ("${{ event.data.list }}", [1, 2]),
        ("${{ event.data.contentLength > `5` }}", False),
        ("${{ event.data.nothing || `7` }}", 7),
        ("${{ event.\ndata.contentLength }}", 0),
    ],
)
def test_values_that_others_take_for_nothing_survive(template: str, expected: object) -> None:
    found = expressions.evaluate(template, KNOWN)

    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("churn-${{ captures.region }}", "churn-north"),
        ("${{ captures.region }}${{ captures.region }}", "northnorth"),
        ("${{ captures.region }}/${{ event.data.contentLength }}", "north/0"),
        ("is ${{ event.data.flag }}", "is false"),
        ("has ${{ event.data.list }}", "has [1, 2]"),
        ("no expression, $ {{ or }}", "no expression, $ {{ or }}"),
    ],
)
def test_within_text_what_is_found_is_written_as_text(template: str, expected: str) -> None:
    assert expressions.evaluate(template, KNOWN) == expected


@pytest.mark.parametrize("value", [0, 1.5, True, None, ["${{ event }}"]])
def test_what_is_not_text_holds_no_expression(value: object) -> None:
    assert expressions.evaluate(value, KNOWN) is value
    assert expressions.check(value, ROOTS) == []


def test_finding_nothing_is_an_error_that_offers_a_default() -> None:
    with pytest.raises(ExpressionInvalid, match=r"event\.data\.none.*`…`"):
        expressions.evaluate("${{ event.data.none }}", KNOWN)
    with pytest.raises(ExpressionInvalid, match="found nothing"):
        expressions.evaluate("a ${{ event.data.nothing }}", KNOWN)


#: Text that looks as much like JMESPath as chance allows.
PIECES = """
    a . [ ] { } | || && ! & ( ) `1` 'x' "y" * [*] [] [0] [? @ , : == < -1 ` ' " \\ é
    length( sort_by( to_number( join( keys(
"""
jmespaths = st.lists(st.sampled_from(PIECES.split()), max_size=12).map("".join)
PROBES: dict[str, Any] = {
    "a": {"a": [1, "x", None, {"a": 2.5}], "y": "text"},
    "y": [[], {}],
    "ones": [1, "1"],
}


@pytest.mark.filterwarnings("ignore:deprecated string literal:PendingDeprecationWarning")
@given(st.text() | jmespaths, st.booleans())
def test_arbitrary_text_raises_nothing_else(text: str, whole: bool) -> None:
    template = "${{" + text + "}}" if whole else "x ${{" + text + "}}"
    for known in (PROBES, {}):
        try:
            expressions.evaluate(template, known)
        except ExpressionInvalid as error:
            assert str(error)
    assert all(isinstance(problem, str) for problem in expressions.check(template, ROOTS))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('`1` < `"x"`', id="TypeError: order of number and text"),
        pytest.param("ones[0] < ones[1]", id="TypeError: order of number and text in the event"),
        pytest.param("y[::0]", id="ValueError: slice of step 0"),
        pytest.param("ceil(to_number('nan'))", id="ValueError: ceil of NaN"),
        pytest.param("floor(to_number('inf'))", id="OverflowError: floor of infinity"),
        pytest.param("!" * 490 + "a", id="RecursionError: deep nesting"),
        pytest.param("(" * 490, id="RecursionError: unclosed brackets"),
    ],
)
def test_an_expression_that_python_trips_over_is_an_invalid_expression(text: str) -> None:
    with pytest.raises(ExpressionInvalid):
        expressions.evaluate("${{" + text + "}}", PROBES)


@pytest.mark.parametrize("template", ["${{ &a }}", "x ${{ &a }}"])
def test_what_is_no_value_is_refused(template: str) -> None:
    with pytest.raises(ExpressionInvalid):
        json.dumps(expressions.evaluate(template, PROBES))


def test_check_survives_deep_nesting() -> None:
    assert expressions.check("${{" + "!" * 490 + "event }}", ROOTS)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("it's ${{ captures.region }}/${{ event.data.contentLength }}", ["north", 0]),
        ("${{ event.data.list }}", [[1, 2]]),
        ("plain", []),
        (7, []),
    ],
)
def test_what_expressions_find_is_told_apart_from_the_text_around_them(
    template: object, expected: list[object]
) -> None:
    assert expressions.findings(template, KNOWN) == expected


def test_a_finding_that_is_none_is_an_error() -> None:
    with pytest.raises(ExpressionInvalid, match="found nothing"):
        expressions.findings("a ${{ event.data.none }}", KNOWN)


def test_an_expression_has_a_length() -> None:
    fits = "captures.region" + " " * (expressions.MAX_LENGTH - len("captures.region"))

    assert expressions.evaluate("${{" + fits + "}}", KNOWN) == "north"
    with pytest.raises(ExpressionInvalid, match="longer than 500"):
        expressions.evaluate("${{" + fits + " }}", KNOWN)


@pytest.mark.parametrize(
    "template",
    [
        "plain",
        "${{ event.data.url }}",
        "${{ captures.region || event.subject }}",
        "${{ captures.keys(@) }}",
        "${{ captures.[region, length(region)] | [0] }}",
        "${{ event.data.list[?captures == 'x'].name | [0] }}",
        "${{ join('-', [captures.region, event.subject]) }}",
        "${{ {region: captures.region, subject: event.subject} }}",
        "${{ `1` }}",
    ],
)
def test_check_finds_nothing_wrong(template: str) -> None:
    assert expressions.check(template, ROOTS) == []


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("${{ evnt.data.url }}", ["'evnt'", "captures, event"]),
        ("x-${{ capture.region }}", ["'capture'"]),
        ("${{ captures.regoin }}", ["captures has no 'regoin', only region"]),
        ("${{ captures.regoin.x.y }}", ["captures has no 'regoin'"]),
        ("${{ captures.regoin[0].x | [0] }}", ["captures has no 'regoin'"]),
        ("${{ captures.[region, regoin] }}", ["captures has no 'regoin'"]),
        ("${{ captures.{a: regoin} }}", ["captures has no 'regoin'"]),
        ("${{ captures.region || group.date }}", ["'group'"]),
        ("${{ join('-', [captures.region, settings.x]) }}", ["'settings'"]),
        ("${{ {a: event.id, b: vent.id} }}", ["'vent'"]),
        ("${{ event..url }}", ["not JMESPath"]),
        ("${{ event.data.rows || 5 }}", ["not JMESPath", '"5" (NUMBER); a number stands in']),
        ("${{ event.data.rows = `5` }}", ["not JMESPath", "'='; to compare write '=='"]),
        ("${{ event.data.row-count }}", ["not JMESPath", 'event.data."row-count"']),
        ("${{ }}", ["not JMESPath"]),
        ("${{ event.data.url", ["never closes"]),
        ("${{ " + "a" * 501 + " }}", ["longer than"]),
    ],
)
def test_check_finds_what_is_wrong_before_any_event(template: str, said: list[str]) -> None:
    [problem] = expressions.check(template, ROOTS)

    for text in said:
        assert text in problem


def test_check_tells_everything_at_once() -> None:
    problems = expressions.check("${{ evnt.x }} ${{ caps.y }} ${{ [ }} ${{", ROOTS)

    assert len(problems) == 4


@pytest.mark.parametrize(
    "template",
    ["${{ sort_by(event.data.list, &name)[0] }}", "${{ map(&size, event.data.list) }}"],
)
def test_check_knows_that_a_field_behind_an_ampersand_is_no_root(template: str) -> None:
    assert expressions.check(template, ROOTS) == []


# What they may cost.

HOSTILE = [
    pytest.param("[@,@]" + "|[@,@][]" * 18, id="a list of two lists, made flat"),
    pytest.param("[@,@]" + "|[@,@]" * 60, id="lists that grow only when they are written down"),
    pytest.param("{a:@,b:@}.*|" * 20 + "@", id="objects"),
    pytest.param("join('',[@,@])|" * 20 + "@", id="text"),
    pytest.param("[to_string(@)]|" * 25 + "@", id="backslashes"),
    pytest.param("map(&[@,@],@)|[]|" * 20 + "@", id="a function of each"),
    pytest.param("map(&`[0,0,0]`,@)|[]|" * 12 + "@", id="literals"),
    pytest.param("[*].[@,@][]|" * 20 + "@", id="projections"),
    pytest.param("event[?" + "[@,@][]|" * 20 + "a]", id="within a filter"),
    pytest.param("event && " + "[@,@][]|" * 20 + "a", id="within a condition"),
    pytest.param("join(event.data.glue, event.data.list)", id="glue from the event"),
    pytest.param("join('" + "-" * 200 + "', event.data.list)", id="long glue"),
]


@pytest.mark.parametrize("text", HOSTILE)
def test_an_expression_that_multiplies_what_it_finds_is_refused_unevaluated(text: str) -> None:
    # An object that may not be looked at.
    known: Any = object()

    [problem] = expressions.check("${{" + text + "}}", {"event": None})
    assert "more than 100 times as much" in problem
    assert "more than 100 times" in (expressions.unmet(text, known) or "")
    with pytest.raises(ExpressionInvalid, match="more than 100 times"):
        expressions.evaluate("${{" + text + "}}", known)


@pytest.mark.parametrize(
    "text",
    [
        "[" + ", ".join(f"event.data.a{n}" for n in range(30)) + "]",
        "{" + ", ".join(f"a{n}: event.a{n}" for n in range(30)) + "}",
        " || ".join(f"event.data.a == '{n}'" for n in range(20)),
        "contains(`" + json.dumps([f"a{n}" for n in range(50)]) + "`, event.data.a)",
        "join(', ', event.data.list[*].name)",
        "join(event.glue, [event.subject, event.id])",
        "sort_by(event.data.list, &size)[-1].[name, size] | join('=', [[0], to_string([1])])",
        "not_null(event.data.a, event.data.b, event.data.c, `0`)",
    ],
)
def test_an_honest_expression_is_not_taken_for_a_hostile_one(text: str) -> None:
    assert expressions.check("${{ " + text + " }}", {"event": None}) == []


STAGES = """
    [@,@] [@,@][] [*].[@,@] [*].[@,@][] {a:@,b:@} values({a:@,b:@}) [*].{a:@,b:[@]}.* [] [0] [::-1]
    map(&[@,@],@) map(&`[0,0]`,@) [to_string(@)] join('--',[to_string(@),to_string(@)]) [@] @
    keys(@) [?@] [?[@,@]] (@||[@,@]) not_null(@,[@,@]) reverse(@) to_array(@) {a:@}.[a,a]
"""


@settings(deadline=None)
@given(st.lists(st.sampled_from(STAGES.split()), max_size=9).map("|".join))
def test_what_an_expression_makes_is_bounded_by_what_it_was_given(text: str) -> None:
    known = {"a": ["x" * 50, '"' * 50, [1, 2, 3] * 20, {"b": [["\\"] * 50]}]}
    try:
        found = expressions.evaluate("${{" + (text or "@") + "}}", known)
    except ExpressionInvalid:
        return

    # Brackets, commas and names of its own come on top.
    assert len(json.dumps(found)) <= 6 * expressions.MAX_GROWTH * len(json.dumps(known))


@pytest.mark.parametrize(
    "text",
    [
        "join('-', rows[*].name)",
        "sort_by(rows, &name)[0].name",
        "map(&name, rows) | length(@)",
        "rows[?size > `5`].name | [0]",
        "sort(rows[*].name) | [-1]",
        "contains(to_string(rows), 'zzz')",
        "max_by(rows, &size).name",
    ],
)
def test_a_long_event_costs_an_expression_what_it_is_long(text: str) -> None:
    def seconds(count: int) -> float:
        rows = [{"name": f"{n % 997:x}" + "x" * 20, "size": n % 89} for n in range(count)]
        started = time.process_time()
        expressions.evaluate("${{" + text + "}}", {"rows": rows})
        return time.process_time() - started

    assert seconds(20_000) <= 8 * seconds(5_000) + 0.3


def test_why_an_expression_cannot_be_worked_out_is_short_and_shows_no_secret() -> None:
    known = {"list": ["x" * 100_000, "AccountKey=c2VjcmV0c2VjcmV0"]}
    for text in ("abs(list)", "abs(list[0])", "abs(list[1])"):
        with pytest.raises(ExpressionInvalid) as raised:
            expressions.evaluate("${{" + text + "}}", known)
        assert len(str(raised.value)) < 400
        assert "c2Vj" not in str(raised.value)


# What looks as if it negated more than it does.


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("!event.data.x", "write '!(event.data.x)'"),
        ("!event.data.x == `1`", "write '!(event.data.x)'"),
        ("event.id == 'a' && !event.data.x", "write '!(event.data.x)'"),
        ("contains(event.data.list[::2], !event.data.x)", "write '!(event.data.x)'"),
        ("event.data.list[? !event.y]", "write '!(event.y)'"),
        ("!event.data.list[0]", "write '!(…)'"),
        ("!event.*", "write '!(…)'"),
        ("!event[?id].x", "write '!(…)'"),
    ],
)
def test_a_member_of_what_is_negated_is_a_mistake_with_a_remedy(text: str, remedy: str) -> None:
    for problems in (
        expressions.check_condition(text, ROOTS),
        expressions.check("${{" + text + "}}", ROOTS),
    ):
        [problem] = problems
        assert remedy in problem


@pytest.mark.parametrize(
    "text", ["!(event.data.x)", "!event", "!contains(event.id, 'x')", "!event[0]", "!!(event.x)"]
)
def test_what_is_negated_as_a_whole_is_well(text: str) -> None:
    assert expressions.check_condition(text, ROOTS) == []


# Conditions.

SEEN = {**KNOWN, "settings": {"stage": "dev", "token": "AccountKey=c2VjcmV0c2VjcmV0"}}


@pytest.mark.parametrize(
    "condition",
    [
        "event.data.contentLength == `0`",
        "captures.region == 'north' && !(event.data.flag)",
        " contains(event.subject, '.csv') ",
        "length(event.data.list) > `1`",
        "`true`",
    ],
)
def test_a_condition_that_is_true_is_met(condition: str) -> None:
    assert expressions.unmet(condition, SEEN) is None


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        ("event.data.contentLength > `0`", "is false"),
        ("event.data.flag", "is false"),
        # Only true is true: what others take for it is a mistake that should show.
        ("event.data.list", "is [1, 2]"),
        ("captures.region", 'is "north"'),
        ("`1`", "is 1"),
        ("event.data.nothing", "is null"),
        ("event.missing", "is null"),
        ("&event", "is no value"),
    ],
)
def test_a_condition_that_is_not_true_says_what_it_is(condition: str, why: str) -> None:
    assert expressions.unmet(condition, SEEN) in (why, f'is "{why[3:]}"')


@pytest.mark.parametrize(
    "condition",
    [
        "length(`5`)",
        "abs('x')",
        "unknown(@)",
        "event..id",
        "y[::0]",
        "event.subject > `0`",
        "!" * 490 + "a",
    ],
)
def test_a_condition_that_cannot_be_worked_out_says_so(condition: str) -> None:
    assert expressions.unmet(condition, {**SEEN, **PROBES})


def test_why_a_condition_is_not_true_is_short_and_shows_no_secret() -> None:
    known = {"event": {"long": "x" * 10_000, "list": ["AccountKey=c2VjcmV0c2VjcmV0"] * 9}}
    for condition in (
        "event.long",
        "event.list",
        "abs(event.long)",
        "abs(event.list)",
        "abs(event.list[0])",
        "event.list[0]",
        "join('', [`\"" + "x" * 45 + '"`, event.list[0]])',
    ):
        why = expressions.unmet(condition, known)
        assert why is not None
        assert len(why) < 100
        assert "c2Vj" not in why


@pytest.mark.parametrize("text", ["event.id == `1`", "contains(captures.region, 'n')"])
def test_a_good_condition_has_no_problems(text: str) -> None:
    assert expressions.check_condition(text, ROOTS) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("${{ event.id }}", "leave out '${{' and '}}'"),
        ("evnt.id == `1`", "'evnt', which is not known here"),
        ("captures.no == 'x'", "captures has no 'no', only region"),
        ("event.id = `1`", "not JMESPath"),
        ("event.id " * 60, "longer than 500"),
    ],
)
def test_a_bad_condition_is_told_before_any_event(text: str, said: str) -> None:
    [problem] = expressions.check_condition(text, ROOTS)

    assert said in problem


@pytest.mark.filterwarnings("ignore:deprecated string literal:PendingDeprecationWarning")
@given(st.text() | jmespaths, json_values)
def test_any_condition_is_met_or_says_why(text: str, value: Any) -> None:
    for known in (PROBES, {"a": value, "x": value}):
        why = expressions.unmet(text, known)
        assert why is None or (why and len(why) < 700)
    assert all(isinstance(problem, str) for problem in expressions.check_condition(text, ROOTS))
