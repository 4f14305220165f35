"""Documents of computes."""

from pathlib import Path

import pytest

from shared import compute_definitions, documents
from shared.compute_definitions import ComputeDefinition, Read, tier

CLUSTER = """
type: amlcompute
size: Standard_DS3_v2
tier: LowPriority
min_instances: 0
max_instances: 4
idle_time_before_scale_down: 300
location: westeurope
"""


def read(folder: Path, text: str, name: str = "cpu-cluster") -> tuple[ComputeDefinition, list[str]]:
    file = folder / "computes" / f"{name}.yml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    found = compute_definitions.read(documents.read(file, root=folder))
    assert found.definition
    assert found.warnings == ()
    return found.definition, [str(problem) for problem in found.problems]


def test_a_cluster_is_taken_as_it_is_under_its_file_s_name(tmp_path: Path) -> None:
    found, problems = read(tmp_path, CLUSTER)

    assert problems == []
    assert (found.name, found.type) == ("cpu-cluster", "amlcompute")
    assert found.content["max_instances"] == 4
    assert ComputeDefinition.kept(found.content) == found


@pytest.mark.parametrize(
    "text", ["LowPriority", "lowpriority", "low-priority", "low_priority", "Low Priority"]
)
def test_the_tier_is_sent_as_azureml_spells_it(tmp_path: Path, text: str) -> None:
    found, problems = read(tmp_path, CLUSTER.replace("LowPriority", text))

    assert problems == []
    assert found.content["tier"] == tier(text) == "low_priority"


def test_an_attached_compute_may_say_whatever_its_kind_has(tmp_path: Path) -> None:
    text = "type: kubernetes\nnamespace: ml\nresource_id: /subscriptions/x\n"

    assert read(tmp_path, text, "aks")[1] == []


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        (CLUSTER + "name: other\n", 9, "must equal the file name, 'cpu-cluster'"),
        (CLUSTER.replace("amlcompute", "cluster"), 2, "AzureML has amlcompute, computeinstance"),
        (CLUSTER.replace("size: Standard_DS3_v2", ""), 0, "size is missing"),
        (CLUSTER.replace("max_instances", "max_instance"), 6, "did you mean max_instances?"),
        (CLUSTER.replace("max_instances: 4", "max_instances: four"), 6, "must be a whole number"),
        (CLUSTER.replace("max_instances: 4", "max_instances: true"), 6, "must be a whole number"),
        (CLUSTER.replace("min_instances: 0", "min_instances: 5"), 5, "is above max_instances 4"),
        (CLUSTER.replace("LowPriority", "cheap"), 4, "it is dedicated or low_priority"),
        (CLUSTER + "ssh_settings:\n  admin_password: x\n", 10, "secret, which everybody"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, text: str, line: int, told: str) -> None:
    [problem] = read(tmp_path, text)[1]

    assert told in problem
    if line:
        assert problem.startswith(f"computes/cpu-cluster.yml:{line}:")


def test_mistakes_are_told_all_at_once(tmp_path: Path) -> None:
    text = "type: amlcompute\nsizes: x\nmin_instances: -1\n"

    assert len(read(tmp_path, text, "a_b")[1]) == 4


def test_nothing_is_made_of_serverless_compute_and_what_is_ignored_is_told(tmp_path: Path) -> None:
    file = tmp_path / "serverless.yml"
    file.write_text(CLUSTER.replace("amlcompute", "Serverless"))
    found = compute_definitions.read(documents.read(file, root=tmp_path))

    assert (found.definition, found.problems) == (None, ())
    ignored = ["size", "tier", "min_instances", "max_instances", "idle_time_before_scale_down"]
    assert {str(each).split(" is ignored")[0] for each in found.warnings} == {
        f"serverless.yml:{line}: {key}" for line, key in enumerate([*ignored, "location"], 3)
    }


def test_serverless_compute_has_nothing_to_say(tmp_path: Path) -> None:
    file = tmp_path / "serverless.yml"
    file.write_text("type: serverless\n")

    assert compute_definitions.read(documents.read(file, root=tmp_path)) == Read()


def test_serverless_compute_has_no_other_name(tmp_path: Path) -> None:
    file = tmp_path / "gpu.yml"
    file.write_text("type: serverless\n")
    [warning] = compute_definitions.read(documents.read(file, root=tmp_path)).warnings

    assert "AzureML knows serverless compute as `serverless` only" in str(warning)


def test_no_other_compute_is_called_serverless(tmp_path: Path) -> None:
    [problem] = read(tmp_path, CLUSTER, "serverless")[1]

    assert "AzureML's own name" in problem
