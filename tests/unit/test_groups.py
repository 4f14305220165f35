"""Which events belong together, and where one must lie to tell its group."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import groups
from shared.groups import Group
from shared.paths import PathPattern

PATTERN = "sales/{date}/{region}/{file}.csv"


def test_events_with_the_same_values_are_one_group_whatever_else_they_captured() -> None:
    north = groups.of(["date"], {"date": "03-01", "region": "north", "file": "a"})
    south = groups.of(["date"], {"date": "03-01", "region": "south", "file": "b"})
    later = groups.of(["date"], {"date": "03-02", "region": "north", "file": "a"})

    assert north.id == south.id != later.id
    assert north.text == "date=03-01"


def test_the_order_of_group_by_is_the_reader_s() -> None:
    captures = {"date": "03-01", "region": "north"}
    one, other = groups.of(["date", "region"], captures), groups.of(["region", "date"], captures)

    assert one.id == other.id
    assert (one.text, other.text) == ("date=03-01, region=north", "region=north, date=03-01")


def test_without_group_by_all_events_are_one_group() -> None:
    assert groups.of([], {"file": "a"}).id == groups.of([], {"file": "b"}).id
    assert groups.of([], {}).text == "all events"


def test_a_replay_is_a_group_of_its_own() -> None:
    values = {"date": "03-01"}
    ids = {Group(values=values).id, *(Group(values=values, replay=one).id for one in ("r1", "r2"))}

    assert len(ids) == 3


def test_values_that_read_alike_are_told_apart() -> None:
    assert Group(values={"a": "1, b=2"}).id != Group(values={"a": "1", "b": "2"}).id


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("sales/03-01/_SUCCESS", {"date": "03-01"}),
        ("sales/03-01/north/_SUCCESS", {"date": "03-01", "region": "north"}),
        # Not deep enough, too deep, elsewhere.
        ("sales/_SUCCESS", None),
        ("_SUCCESS", None),
        ("sales/03-01/north/deeper/_SUCCESS", None),
        ("stock/03-01/_SUCCESS", None),
        ("sales//_SUCCESS", None),
    ],
)
def test_a_folder_tells_the_group(path: str, found: dict[str, str] | None) -> None:
    assert groups.found_in(PATTERN, ["date"], path) == found


def test_all_captures_must_be_found() -> None:
    both = ["date", "region"]

    assert groups.found_in(PATTERN, both, "sales/03-01/_SUCCESS") is None
    assert groups.found_in(PATTERN, both, "sales/03-01/north/_SUCCESS") == {
        "date": "03-01",
        "region": "north",
    }


@pytest.mark.parametrize(
    ("pattern", "group_by", "path", "found"),
    [
        ("{file}.csv", [], "_SUCCESS", {}),
        ("{file}.csv", [], "sales/_SUCCESS", None),
        ("sales/{file}.csv", [], "sales/_SUCCESS", {}),
        # What is literal must be there, or every marker of the container would do.
        ("sales/{file}.csv", [], "_SUCCESS", None),
        ("sales/of-{file}.csv", [], "sales/_SUCCESS", {}),
        ("{day}-{what}/{file}.csv", ["day"], "03-north/_SUCCESS", {"day": "03", "what": "north"}),
    ],
)
def test_the_literal_way_counts(
    pattern: str, group_by: list[str], path: str, found: dict[str, str] | None
) -> None:
    assert groups.found_in(pattern, group_by, path) == found


def test_captures_of_the_file_s_name_are_in_no_folder() -> None:
    assert groups.folders("sales/{date}-{file}.csv", ("date",)) == []
    assert [one.text for one in groups.folders(PATTERN, ("date",))] == [
        "sales/{date}",
        "sales/{date}/{region}",
    ]


@given(
    st.lists(st.sampled_from(["sales", "a-{x}", "{y}", "{z}.d"]), min_size=1, max_size=4).filter(
        lambda parts: len({*parts}) == len(parts)
    ),
    st.text(alphabet="ab.-", min_size=1, max_size=3),
)
def test_a_marker_beside_an_event_is_of_its_group(parts: list[str], text: str) -> None:
    """Whatever the pattern: what lies in an event's own folder has the captures of that folder."""
    pattern = PathPattern.parse("/".join([*parts, "{file}.csv"]))
    path = "/".join([*parts, "f.csv"])
    for name in ("x", "y", "z"):
        path = path.replace(f"{{{name}}}", text)
    captures = pattern.match(path)
    assert captures is not None
    group_by = sorted(captures.keys() - {"file"})

    beside = groups.found_in(pattern.text, group_by, path.rpartition("/")[0] + "/_SUCCESS")

    assert beside == {name: captures[name] for name in group_by}
