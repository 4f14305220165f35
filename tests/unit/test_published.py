"""What was published: one record per version, and what a job's inputs are made from."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import published as rooms
from shared.errors import RecordUnreadable
from shared.index import Snapshot
from shared.published import Published, latest
from shared.workspace import JobBody
from tests.fakes import MemoryBlobs
from tests.unit.scene import pipeline

INDEXED = Snapshot(pipelines={"churn-training": pipeline().model_dump(mode="json", by_alias=True)})


def test_a_pipeline_that_was_never_published_is_none() -> None:
    assert latest(Snapshot(), "churn-training") is None


@pytest.mark.parametrize("content", [{}, {"name": "churn"}, {"name": "churn", "inputs": 5}])
def test_a_published_pipeline_that_cannot_be_read_says_so(content: dict[str, Any]) -> None:
    with pytest.raises(RecordUnreadable, match="published pipeline"):
        latest(Snapshot(pipelines={"churn": content}), "churn")


def test_a_reference_without_a_version_is_the_latest_one() -> None:
    blobs = MemoryBlobs()

    assert Published(blobs).resolve(INDEXED, "churn-training") == pipeline()
    assert Published(blobs).resolve(INDEXED, "other") is None
    assert blobs.world.calls == []


def test_a_pinned_version_is_found_whatever_the_latest_is_and_read_once() -> None:
    blobs = MemoryBlobs()
    published = Published(blobs)
    old = pipeline(version="v0", component_id="/components/churn-training/versions/v0")
    published.write(old)
    blobs.world.calls.clear()

    for _ in range(3):
        assert published.resolve(INDEXED, "churn-training@v0") == old
    assert blobs.world.calls == ["get published/churn-training/v0.json"]


def test_not_every_version_that_was_ever_asked_for_is_kept_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rooms, "_PINNED", 3)
    published = Published(MemoryBlobs())
    for number in range(10):
        published.write(pipeline(version=f"v{number}"))
        found = published.resolve(INDEXED, f"churn-training@v{number}")
        assert found is not None
        assert found.version == f"v{number}"
        assert len(published._pinned) <= 3


def test_a_pinned_version_that_is_the_latest_costs_nothing() -> None:
    blobs = MemoryBlobs()

    assert Published(blobs).resolve(INDEXED, "churn-training@v1") == pipeline()
    assert blobs.world.calls == []


def test_a_pinned_version_that_is_not_there_is_looked_for_again() -> None:
    published = Published(MemoryBlobs())
    assert published.resolve(INDEXED, "churn-training@v2") is None

    published.write(pipeline(version="v2"))
    assert published.resolve(INDEXED, "churn-training@v2") == pipeline(version="v2")


def test_a_pinned_version_outlives_its_pipeline_in_the_index() -> None:
    published = Published(MemoryBlobs())
    published.write(pipeline())

    assert published.resolve(Snapshot(), "churn-training") is None
    assert published.resolve(Snapshot(), "churn-training@v1") == pipeline()


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"name": "churn"}', b"\xff"])
def test_a_version_that_cannot_be_read_says_so(data: bytes) -> None:
    blobs = MemoryBlobs()
    blobs.put("published/churn/v1.json", data)

    with pytest.raises(RecordUnreadable, match="published pipeline"):
        Published(blobs).read("churn", "v1")


def test_what_cannot_be_read_is_told_by_its_place_and_never_by_its_value() -> None:
    content = pipeline().model_dump(mode="json", by_alias=True) | {"tags": {"note": ["xyzzy"]}}
    with pytest.raises(RecordUnreadable, match=r"1 error, at tags\.note$") as raised:
        latest(Snapshot(pipelines={"churn": content}), "churn")

    assert "xyzzy" not in str(raised.value)


def test_the_inputs_there_are_are_not_all_named_when_there_are_many() -> None:
    made = pipeline(inputs={f"i{n:03}": {"type": "string", "default": "x"} for n in range(500)})
    _, problems = made.bind({"x": 1})

    assert problems["x"].endswith("i018, i019 and 480 more")


def test_fields_of_a_newer_version_survive() -> None:
    content = pipeline().model_dump(mode="json", by_alias=True) | {"newer": 1}
    content["inputs"]["data"]["newer"] = 2
    found = latest(Snapshot(pipelines={"churn": content}), "churn")

    assert found is not None
    assert found.model_dump(mode="json", by_alias=True) == content


def test_all_that_is_wrong_with_the_inputs_is_told_at_once() -> None:
    made = pipeline(
        inputs={"data": {"type": "uri_file"}, "seed": {"type": "integer"}, "ok": {"type": "string"}}
    )
    bound, problems = made.bind({"seed": "x", "ok": "fine", "extra": 1})

    assert bound == {"ok": "fine"}
    assert problems.keys() == {"data", "seed", "extra"}
    assert "no such input; it has data, ok, seed" in problems["extra"]


def test_a_pipeline_without_inputs_says_so() -> None:
    _, problems = pipeline(inputs={}).bind({"x": 1})

    assert "no such input" in problems["x"]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=3,
)
types = st.sampled_from(["string", "integer", "number", "boolean", "uri_file", "unknown"])


@given(
    st.dictionaries(st.sampled_from("abc"), values), st.dictionaries(st.sampled_from("abc"), types)
)
def test_whatever_is_found_is_bound_or_a_problem(
    found: dict[str, Any], declared: dict[str, str]
) -> None:
    made = pipeline(inputs={name: {"type": type} for name, type in declared.items()})
    bound, problems = made.bind({name: value for name, value in found.items() if value is not None})

    assert bound.keys() | problems.keys() >= declared.keys()
    assert not bound.keys() & problems.keys()
    # What is bound can be written down and read again as it was.
    body = JobBody(component_id="c", display_name="d", inputs=bound)
    assert JobBody.model_validate_json(body.model_dump_json()) == body
