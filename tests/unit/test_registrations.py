"""What is registered for a pipeline, each thing once."""

from pathlib import Path

from shared.nodes import Node
from shared.registrations import Registrations


def test_a_component_of_two_jobs_is_registered_once() -> None:
    found = Registrations("own")
    node = Node(content={"type": "command"}, component={"type": "command", "command": "echo"})
    jobs = [found.job("a", node), found.job("a", node)]

    assert jobs[0] == jobs[1]
    assert len(found.components) == 1


def test_a_model_is_kept_as_one(tmp_path: Path) -> None:
    found = Registrations("own")
    (tmp_path / "weights").write_text("1")
    reference = found.asset("in", "mlflow_model", tmp_path)
    [asset] = found.assets.values()

    assert reference == f"azureml:own_in:{asset.version}"
    assert asset.is_model
