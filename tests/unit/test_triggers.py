import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import triggers
from shared.definitions import TriggerDefinition, TriggerFile
from shared.documents import Document, Place
from shared.errors import Problem
from shared.triggers import Match, Matcher, Near, PathPattern
from tests.unit import scene


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
        ("/sales/{a}", "begins with '/'"),
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


def file(**action: Any) -> TriggerFile:
    path = action.pop("path", "sales/{region}/{file}.csv")
    lines: dict[Place, int] = {
        ("spec", "blob", "path"): 3,
        ("action", "inputs", "data"): 7,
        ("action", "tags", "note"): 9,
        ("action", "compute"): 10,
        ("action", "experiment_name"): 11,
    }
    document = Document(
        root=Path(),
        file="triggers/on-upload.yml",
        path=Path("on-upload.yml"),
        content={},
        lines=lines,
    )
    return TriggerFile(trigger=scene.trigger(path=path, **action), document=document)


def test_a_trigger_without_mistakes_has_no_problems() -> None:
    assert not triggers.check(
        file(
            inputs={"data": "${{ event.data.url }}", "rows": 5, "note": "plain"},
            tags={"region": "${{ captures.region }}-${{ settings.stage }}"},
            compute="${{ captures.file }}",
            experiment_name="churn",
        )
    )


def test_every_text_of_a_trigger_is_looked_at() -> None:
    problems = triggers.check(
        file(
            inputs={"data": "${{ evnt.url }}"},
            tags={"note": "${{ event. }}"},
            compute="${{ group.x }}",
            experiment_name="${{ captures.regoin }}",
        )
    )

    assert [(problem.file, problem.line) for problem in problems] == [
        ("triggers/on-upload.yml", line) for line in (7, 9, 10, 11)
    ]
    assert "captures has no 'regoin', only file, region" in problems[-1].message


def test_a_wrong_path_has_its_line() -> None:
    assert triggers.check(file(path="sales/{region")) == [
        Problem(
            file="triggers/on-upload.yml",
            line=3,
            message="path has a '{' or '}' without its partner",
        )
    ]


@pytest.mark.parametrize(
    "text", ["see captures.md", "${{ event.data.captures.size }}", "${{ settings.captures.x }}"]
)
def test_only_the_root_captures_is_the_path_s(text: str) -> None:
    assert triggers.check(file(tags={"note": text})) == []


def verdicts(matcher: Matcher, path: str, **changes: Any) -> list[tuple[str, str]]:
    found = []
    for verdict in matcher.match(scene.event(path, **changes)):
        said = verdict.check if isinstance(verdict, Near) else f"captures {verdict.captures}"
        found.append((verdict.trigger.name, said))
    return found


def test_an_event_meets_the_triggers_it_might_be_for_in_order_of_name() -> None:
    matcher = Matcher(
        [
            scene.trigger("z-all", path="{folder}/{file}"),
            scene.trigger("b-north", path="sales/north/{file}.csv"),
            scene.trigger("c-deep", path="sales/{region}/{day}/{file}.csv"),
            scene.trigger("a-exact", path="sales/north"),
            scene.trigger("other-prefix", path="stock/{file}.csv"),
            scene.trigger("other-container", path="{file}", container="archive"),
        ]
    )

    assert verdicts(matcher, "sales/north") == [
        ("a-exact", "captures {}"),
        ("c-deep", "path sales/{region}/{day}/{file}.csv"),
        ("z-all", "captures {'folder': 'sales', 'file': 'north'}"),
    ]


def test_what_was_never_a_candidate_gets_no_verdict() -> None:
    matcher = Matcher([scene.trigger(path="sales/{file}.csv")])

    assert verdicts(matcher, "sale") == []
    assert verdicts(matcher, "stock/a.csv") == []
    assert verdicts(Matcher([]), "sales/a.csv") == []


def test_the_account_counts() -> None:
    matcher = Matcher([scene.trigger(path="{file}")])
    elsewhere = {"url": "https://otherlake.blob.core.windows.net/landing/a"}

    assert len(verdicts(matcher, "a")) == 1
    assert verdicts(matcher, "a", data=elsewhere) == []


@pytest.mark.parametrize(
    ("filters", "check"),
    [
        ({"prefix": {"subject": "/blobServices/default/containers/landing/"}}, None),
        ({"suffix": {"subject": ".csv", "id": "0x1"}}, None),
        ({"prefix": {"subject": "/x"}}, "filter prefix subject /x"),
        ({"prefix": {"id": "id-"}, "suffix": {"subject": "tmp"}}, "filter suffix subject tmp"),
        ({"suffix": {"type": "BlobDeleted"}}, "filter suffix type BlobDeleted"),
        ({"prefix": {"source": "/providers"}}, "filter prefix source /providers"),
    ],
)
def test_filters_look_at_attributes(filters: dict[str, dict[str, str]], check: str | None) -> None:
    trigger: TriggerDefinition = scene.trigger(path="{file}", filters=filters)
    [verdict] = Matcher([trigger]).match(scene.event("a.csv"))

    if check is None:
        assert isinstance(verdict, Match)
    else:
        assert verdict == Near(trigger, check)


def test_the_index_finds_what_a_scan_finds() -> None:
    definitions = [
        scene.trigger(f"t{number}", path=path)
        for number, path in enumerate(
            ["{x}", "a{x}", "ab{x}", "a/{x}", "a/b", "a", "{x}/b", "a/{x}-{y}", "b/{x}", "ab/{x}.c"]
        )
    ]
    matcher = Matcher(definitions)
    for path in ["a", "ab", "abc", "a/b", "a/b-c", "b/x", "ab/x.c", "ab/x", "c", "a/b/c"]:
        found = {
            verdict.trigger.name
            for verdict in matcher.match(scene.event(path))
            if isinstance(verdict, Match)
        }
        assert found == {
            trigger.name
            for trigger in definitions
            if PathPattern.parse(trigger.spec.blob.path).match(path) is not None
        }
