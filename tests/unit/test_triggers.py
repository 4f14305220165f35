"""Which triggers an event is for."""

from typing import Any

import pytest

from shared.definitions import TriggerDefinition
from shared.paths import PathPattern
from shared.triggers import Match, Matcher, Near
from tests.unit import scene


def matcher(*triggers: TriggerDefinition) -> Matcher:
    return Matcher(scene.indexed(*triggers), {"stage": "dev"})


def verdicts(matcher: Matcher, path: str, **changes: Any) -> list[tuple[str, str]]:
    found = []
    for verdict in matcher.match(scene.event(path, **changes)):
        said = verdict.check if isinstance(verdict, Near) else f"captures {verdict.captures}"
        found.append((verdict.trigger.name, said))
    return found


def test_an_event_meets_the_triggers_it_might_be_for_in_order_of_name() -> None:
    all_of_them = matcher(
        scene.trigger("z-all", path="{folder}/{file}"),
        scene.trigger("b-north", path="sales/north/{file}.csv"),
        scene.trigger("c-deep", path="sales/{region}/{day}/{file}.csv"),
        scene.trigger("a-exact", path="sales/north"),
        scene.trigger("other-prefix", path="stock/{file}.csv"),
        scene.trigger("other-container", path="{file}", container="archive"),
    )

    assert verdicts(all_of_them, "sales/north") == [
        ("a-exact", "captures {}"),
        ("c-deep", "path sales/{region}/{day}/{file}.csv"),
        ("z-all", "captures {'folder': 'sales', 'file': 'north'}"),
    ]


def test_what_was_never_a_candidate_gets_no_verdict() -> None:
    one = matcher(scene.trigger(path="sales/{file}.csv"))

    assert verdicts(one, "sale") == []
    assert verdicts(one, "stock/a.csv") == []
    assert verdicts(matcher(), "sales/a.csv") == []


def test_the_account_counts() -> None:
    one = matcher(scene.trigger(path="{file}"))
    elsewhere = {"url": "https://otherlake.blob.core.windows.net/landing/a"}

    assert len(verdicts(one, "a")) == 1
    assert verdicts(one, "a", data=elsewhere) == []


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
    trigger = scene.trigger(path="{file}", filters=filters)
    [verdict] = matcher(trigger).match(scene.event("a.csv"))

    if check is None:
        assert isinstance(verdict, Match)
    else:
        assert isinstance(verdict, Near)
        assert verdict.check == check


def test_the_index_finds_what_a_scan_finds() -> None:
    patterns = {
        f"t{number}": path
        for number, path in enumerate(
            ["{x}", "a{x}", "ab{x}", "a/{x}", "a/b", "a", "{x}/b", "a/{x}-{y}", "b/{x}", "ab/{x}.c"]
        )
    }
    all_of_them = matcher(*(scene.trigger(name, path=path) for name, path in patterns.items()))
    for path in ["a", "ab", "abc", "a/b", "a/b-c", "b/x", "ab/x.c", "ab/x", "c", "a/b/c"]:
        found = {
            verdict.trigger.name
            for verdict in all_of_them.match(scene.event(path))
            if isinstance(verdict, Match)
        }
        assert found == {
            name
            for name, pattern in patterns.items()
            if PathPattern.parse(pattern).match(path) is not None
        }
