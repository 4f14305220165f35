"""Path patterns, and what hostile paths cost."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.paths import PathPattern


@pytest.mark.parametrize(
    ("pattern", "path", "captures"),
    [
        (
            "sales/{region}/{file}.csv",
            "sales/north/march.csv",
            {"region": "north", "file": "march"},
        ),
        (
            "sales/{region}/{file}.csv",
            "sales/north/a.csv.csv",
            {"region": "north", "file": "a.csv"},
        ),
        ("{date}-{site}.csv", "2026-03-01.csv", {"date": "2026", "site": "03-01"}),
        ("{a}--{b}", "x---y", {"a": "x", "b": "-y"}),
        ("plain.csv", "plain.csv", {}),
        ("{all}", "a name (1).csv", {"all": "a name (1).csv"}),
        ("a+b/{x}.c$", "a+b/1.c$", {"x": "1"}),
        ("a(b/{x}", "a(b/1", {"x": "1"}),
        ("{x}\n{y}", "1\n2", {"x": "1", "y": "2"}),
        ("день/{x}", "день/é", {"x": "é"}),
    ],
)
def test_a_path_gives_its_captures(pattern: str, path: str, captures: dict[str, str]) -> None:
    found = PathPattern.parse(pattern)

    assert found.match(path) == captures
    assert found.captures == captures.keys()


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("sales/{region}/{file}.csv", "sales/north/2026/march.csv"),
        ("sales/{region}/{file}.csv", "sales//march.csv"),
        ("sales/{region}/{file}.csv", "sales/north/.csv"),
        ("sales/{region}/{file}.csv", "sales/north/march.csv.tmp"),
        ("sales/{region}/{file}.csv", "old/sales/north/march.csv"),
        ("sales/{region}/{file}.csv", "Sales/north/march.csv"),
        ("sales/{file}.csv", "sales/marchxcsv"),
        ("plain.csv", "plain.csv\n"),
        ("{a}-{b}", "a-"),
        ("{a}-{b}", "-b"),
    ],
)
def test_what_is_not_of_the_pattern_does_not_match(pattern: str, path: str) -> None:
    assert PathPattern.parse(pattern).match(path) is None


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("sales/{region", "without its partner"),
        ("sales/region}", "without its partner"),
        ("sales/{{region}}", "without its partner"),
        ("sales/{}", "capture named ''"),
        ("sales/{Region}", "capture named 'Region'"),
        ("sales/{two words}", "lower-case letters"),
        ("{a}/{b}/{a}", "captures 'a' twice"),
        ("sales/*.csv", "write a capture instead, as in {file}.csv"),
        ("sales/a?.csv", "has a '*' or '?'"),
        ("{a}{b}", "nothing between {a} and the next capture"),
        ("x/{a}{b}-{c}", "nothing between {a}"),
    ],
)
def test_says_what_is_wrong_with_a_pattern(pattern: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        PathPattern.parse(pattern)

    assert said in str(caught.value)


literals = st.text(st.sampled_from("ab-_.é (+[\\$\n"), min_size=1, max_size=4)
values = st.text(st.characters(exclude_characters="/"), min_size=1, max_size=6) | literals


@st.composite
def patterns(draw: st.DrawFn, *, captures: int) -> tuple[str, list[str]]:
    """A pattern of some segments, and the names in it."""
    segments: list[str] = []
    names: list[str] = []
    for _ in range(draw(st.integers(1, 4))):
        segment = draw(st.just("") | literals)
        for position in range(draw(st.integers(0, captures))):
            if position:
                segment += draw(literals)
            names.append(f"c{len(names)}")
            segment += f"{{{names[-1]}}}"
        segments.append(segment + draw(st.just("") | literals))
    return "/".join(segments).lstrip("/"), names


@given(patterns(captures=4), st.data())
def test_a_path_built_from_a_pattern_is_of_it(made: tuple[str, list[str]], data: Any) -> None:
    pattern, names = made
    given_values = {name: data.draw(values, label=name) for name in names}
    path = pattern.format_map(given_values)
    found = PathPattern.parse(pattern).match(path)

    assert found is not None
    assert found.keys() == given_values.keys()
    # Other values may be found than were put in, but they are of the same path.
    assert pattern.format_map(found) == path
    assert all(value and "/" not in value for value in found.values())


@given(patterns(captures=1), st.data())
def test_one_capture_a_segment_gives_its_value_back(made: tuple[str, list[str]], data: Any) -> None:
    pattern, names = made
    given_values = {name: data.draw(values, label=name) for name in names}

    assert PathPattern.parse(pattern).match(pattern.format_map(given_values)) == given_values


@given(patterns(captures=3), st.text(max_size=40))
def test_arbitrary_paths_match_or_not(made: tuple[str, list[str]], path: str) -> None:
    pattern, _ = made
    found = PathPattern.parse(pattern).match(path)

    assert found is None or pattern.format_map(found) == path


@pytest.mark.parametrize("path", ["-" * 1024, "a-" * 512, "-" * 1019 + ".csvx", "a" * 1024])
def test_a_hostile_path_costs_no_more_than_a_plain_one(path: str) -> None:
    pattern = PathPattern.parse("{a}-{b}-{c}-{d}-{e}.csv")
    started = time.process_time()
    found = pattern.match(path)

    assert time.process_time() - started < 0.5
    assert found is None


@pytest.mark.parametrize("piece", ["-", "a-", "-a", "--a", "a", "a/", "/-"])
@pytest.mark.parametrize(
    "text",
    [
        "-".join(f"{{c{number}}}" for number in range(30)) + ".csv",
        "{a}-{b}/{c}-{d}/{e}.csv",
        "{a}--{b}--{c}",
        "{a}a-{b}a-{c}x",
    ],
)
def test_the_time_a_path_takes_grows_with_its_length_alone(piece: str, text: str) -> None:
    pattern = PathPattern.parse(text)
    started = time.process_time()
    # Fifty times what storage allows; a search that goes back and forth would take hours.
    pattern.match(piece * (50 * 1024 // len(piece)))

    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("text", "prefix"),
    [("sales/{file}", "sales/"), ("{file}", ""), ("plain.csv", "plain.csv"), ("a{b}c{d}", "a")],
)
def test_a_prefix_is_the_text_before_the_first_capture(text: str, prefix: str) -> None:
    assert PathPattern.parse(text).prefix == prefix


@given(patterns(captures=3), st.data())
def test_whatever_is_of_a_pattern_begins_with_its_prefix(
    made: tuple[str, list[str]], data: Any
) -> None:
    pattern, names = made
    path = pattern.format_map({name: data.draw(values, label=name) for name in names})

    assert path.startswith(PathPattern.parse(pattern).prefix)


@given(st.text(st.sampled_from("ab{}/-*?_1A"), max_size=20))
def test_any_text_is_a_pattern_or_says_why_not(text: str) -> None:
    try:
        pattern = PathPattern.parse(text)
    except ValueError as error:
        assert str(error).startswith(("has ", "captures "))
        return
    pattern.match("ab/a-b")
