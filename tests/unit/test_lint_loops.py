"""Triggers whose runs would start them again."""

from typing import Any

import pytest

from shared import lint
from shared.definitions import TriggerDefinition, TriggerFile
from shared.inputs import DataInput, PipelineInput
from tests.unit import scene
from tests.unit.linting import check, file, made, messages, ports, written

# Loops.


@pytest.mark.parametrize(
    ("output", "path"),
    [
        ("https://contosolake.blob.core.windows.net/landing/sales/", "sales/{region}/{file}.csv"),
        ("https://contosolake.blob.core.windows.net/landing/sales", "sales/{region}/{file}.csv"),
        ("https://contosolake.blob.core.windows.net/landing/", "sales/{file}.csv"),
        ("https://contosolake.blob.core.windows.net/landing", "sales/{file}.csv"),
        ("https://contosolake.dfs.core.windows.net/landing/sales/north", "sales/{region}/{file}"),
        ("https://contosolake.z7.blob.storage.azure.net/landing/sales/", "sales/{file}"),
        ("wasbs://landing@contosolake.blob.core.windows.net/sales/", "sales/{file}"),
        ("wasbs://landing@contosolake.blob.core.windows.net", "sales/{file}"),
        ("abfss://landing@contosolake.dfs.core.windows.net/sa", "sales/{file}"),
        ("https://contosolake.blob.core.windows.net/landing/${{name}}/", "sales/{file}"),
        ("https://contosolake.blob.core.windows.net/landing/sales/${{name}}/", "sales/{a}/{file}"),
        ("https://contosolake.blob.core.windows.net/landing/out/a/", "{any}/a/{file}"),
        ("https://contosolake.blob.core.windows.net/landing/model.pkl", "model.pkl"),
        ("azureml://datastores/lake/paths/sales/${{name}}", "sales/{region}/{file}"),
        ("azureml://datastores/lake/paths", "sales/{file}"),
    ],
)
def test_a_run_that_writes_where_its_trigger_watches_is_a_loop(output: str, path: str) -> None:
    known = {scene.PIPELINE: ports({"data": {"type": "uri_file"}}, {"model": output})}
    [found] = messages(file(path=path), known)

    assert found.startswith(f"3: {scene.PIPELINE} writes its output 'model' to {output}")
    assert "each run would start the next" in found


@pytest.mark.parametrize(
    ("output", "path"),
    [
        ("https://contosolake.blob.core.windows.net/landing/out/", "sales/{file}"),
        ("https://contosolake.blob.core.windows.net/results/sales/", "sales/{file}"),
        ("https://otherlake.blob.core.windows.net/landing/sales/", "sales/{file}"),
        ("wasbs://results@contosolake.blob.core.windows.net/sales/", "sales/{file}"),
        ("azureml://datastores/landing/paths/sales/", "sales/{file}"),
        ("azureml://datastores/results/paths/sales/", "sales/{file}"),
        ("azureml://datastores/lake/paths/out/", "sales/{file}"),
        # A capture ends at the next `/`: what lies deeper is not watched.
        ("https://contosolake.blob.core.windows.net/landing/out/", "{file}.csv"),
        ("https://contosolake.blob.core.windows.net/landing/sales/out/a/", "sales/{region}/{file}"),
        ("https://contosolake.blob.core.windows.net/landing/out/b/", "{any}/a/{file}"),
    ],
)
def test_a_run_that_writes_elsewhere_is_none(output: str, path: str) -> None:
    known = {scene.PIPELINE: ports({"data": {"type": "uri_file"}}, {"model": output})}

    assert check(file(path=path), known) == []


def test_an_output_without_a_place_of_its_own_is_no_loop() -> None:
    known: lint.Pipelines = {
        scene.PIPELINE: (
            {"data": PipelineInput(type="uri_file")},
            {"model": DataInput(type="uri_folder")},
        )
    }

    assert check(file(), known) == []


def test_the_loop_of_a_pinned_or_an_allowed_pipeline_is_found_as_well() -> None:
    loop = ports(
        {"data": {"type": "uri_file"}},
        {"model": "https://contosolake.blob.core.windows.net/landing/sales/"},
    )

    assert len(check(file(pipeline="a@v1"), {"a@v1": loop})) == 1
    action = {"pipeline": "${{ event.data.api }}", "allow": ["a", "b"]}
    assert len(check(file(**action), {"a": None, "b": loop})) == 1


@pytest.mark.parametrize(
    ("run", "action"),
    [
        ({}, {}),
        ({"pipeline": scene.PIPELINE}, {}),
        ({"pipeline": scene.PIPELINE}, {"pipeline": f"{scene.PIPELINE}@v1"}),
        ({"trigger": scene.TRIGGER}, {}),
        ({"trigger": scene.TRIGGER, "pipeline": "other"}, {}),
        ({"pipeline": "b"}, {"pipeline": "${{ event.data.x }}", "allow": ["a", "b"]}),
    ],
)
def test_a_trigger_for_the_end_of_its_own_runs_is_a_loop(
    run: dict[str, Any], action: dict[str, Any]
) -> None:
    known = dict.fromkeys((scene.PIPELINE, f"{scene.PIPELINE}@v1", "a", "b"))
    [found] = messages(made({"run": run}, **action), known)

    assert "the runs it starts would start it again, 5 times over (policies.max_depth)" in found
    # Whoever says when to go on knows it.
    assert check(made({"run": run, "where": "event.data.attempt < `3`"}, **action), known) == []


@pytest.mark.parametrize(
    "run", [{"pipeline": "other"}, {"trigger": "other"}, {"trigger": "other", "pipeline": "x"}]
)
def test_a_trigger_for_the_end_of_other_runs_is_none(run: dict[str, Any]) -> None:
    assert check(made({"run": run})) == []


def follower(name: str, runs: str, /, **spec: Any) -> TriggerFile:
    """A trigger for the end of a run, which runs a pipeline."""
    where = {"where": spec.pop("where")} if "where" in spec else {}
    return written(
        TriggerDefinition.model_validate(
            {"name": name, "spec": {"run": spec, **where}, "action": {"pipeline": runs}}
        )
    )


def test_triggers_that_start_one_another_in_a_circle_are_told_once() -> None:
    first = follower("announce", "tell", pipeline="count")
    second = follower("again", "count", trigger="announce")
    [problem] = lint.circles([first, second])

    assert "announce -> again -> announce" in problem.message
    assert "where" in problem.message


def test_a_long_circle_is_found_through_the_pipelines_that_run() -> None:
    files = [follower(f"t{n}", f"p{n}", pipeline=f"p{(n - 1) % 4}") for n in range(4)]

    assert len(lint.circles(files)) == 1


@pytest.mark.parametrize(
    "files",
    [
        [follower("announce", "tell", pipeline="count"), follower("next", "sum", trigger="x")],
        [
            follower("announce", "tell", pipeline="count", where="event.data.depth < `3`"),
            follower("again", "count", trigger="announce"),
        ],
        # A trigger that starts itself is told by its own check.
        [follower("same", "tell", pipeline="tell")],
        [],
    ],
)
def test_what_is_no_circle_is_left_alone(files: list[TriggerFile]) -> None:
    assert lint.circles(files) == []
