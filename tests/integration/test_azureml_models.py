"""Models, tables and build contexts through the official SDK, and as data of steps."""

from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml import MLClient
from azure.ai.ml.constants import ListViewType
from azure.ai.ml.entities import BuildContext, Data, Environment, Model
from azure.core.exceptions import ResourceNotFoundError

from emulator.azureml.assets.events import REGISTERED, ModelEvents
from emulator.azureml.assets.models import AssetStore
from emulator.azureml.workspace import Workspace as Names
from emulator.stack import LocalAzure
from tests.integration.workspace import children, finished, log_of, pipeline, unique


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {}\n")
    (folder / "w.txt").write_text("0.5\n")
    return folder


def _run(ml: MLClient, yaml: str) -> Any:
    return finished(ml, ml.jobs.create_or_update(pipeline(yaml)).name)


def _model(ml: MLClient, path: Path, name: str, version: str | None, kind: str) -> Any:
    model = Model(name=name, version=version, path=str(path), type=kind, tags={"team": "blue"})
    return ml.models.create_or_update(model)


def test_model_is_uploaded_found_archived(ml: MLClient, weights: Path) -> None:
    name = unique("model")
    _model(ml, weights, name, "1", "mlflow_model")
    second = _model(ml, weights / "w.txt", name, None, "custom_model")
    assert second.version == "2"
    found = ml.models.get(name, "1")
    assert (found.type, found.tags) == ("mlflow_model", {"team": "blue"})
    assert ml.models.get(name, label="latest").version == "2"
    assert [model.version for model in ml.models.list(name)] == ["2", "1"]

    ml.models.archive(name, version="1")
    assert [model.version for model in ml.models.list(name)] == ["2"]
    ml.models.archive(name)
    assert name not in [model.name for model in ml.models.list()]
    archived = ml.models.list(list_view_type=ListViewType.ARCHIVED_ONLY)
    assert name in [model.name for model in archived]
    ml.models.restore(name)
    assert name in [model.name for model in ml.models.list()]
    with pytest.raises(ResourceNotFoundError, match="Could not find model"):
        ml.models.get(unique("nothing"), "1")


def test_model_downloads(ml: MLClient, weights: Path, tmp_path: Path) -> None:
    name = unique("model")
    _model(ml, weights, name, "1", "custom_model")
    ml.models.download(name, "1", download_path=tmp_path / "got")
    assert [path.read_text() for path in (tmp_path / "got").rglob("w.txt")] == ["0.5\n"]


def test_new_version_of_a_model_raises_the_event() -> None:
    names = Names(
        tenant="t",
        subscription="s",
        resource_group="g",
        name="w",
        region="r",
        storage_account="a",
        blob_container="b",
        artifact_container="c",
    )
    told: list[dict[str, Any]] = []
    properties = {"modelUri": "azureml://x", "tags": {"area": "north"}, "properties": {"a": "b"}}
    asset, _ = AssetStore().put("models", "price", "3", properties)
    ModelEvents(names, told.append)(asset)
    [event] = told
    assert event["eventType"] == REGISTERED == "Microsoft.MachineLearningServices.ModelRegistered"
    assert (event["topic"], event["subject"]) == (names.arm_id, "models/price:3")
    assert event["data"] == {
        "ModelName": "price",
        "ModelVersion": 3,
        "ModelTags": {"area": "north"},
        "ModelProperties": {"a": "b"},
    }


def test_models_and_tables_are_inputs(
    ml: MLClient, local_azure: LocalAzure, weights: Path, tmp_path: Path
) -> None:
    flow, plain, triton, rows = (unique(kind) for kind in ("flow", "plain", "triton", "rows"))
    _model(ml, weights, flow, "1", "mlflow_model")
    _model(ml, weights / "w.txt", plain, "1", "custom_model")
    _model(ml, weights, triton, "1", "triton_model")
    table = tmp_path / "table"
    table.mkdir()
    (table / "MLTable").write_text("paths:\n  - file: ./a.csv\ntransformations: []\n")
    (table / "a.csv").write_text("a\n1\n")
    ml.data.create_or_update(Data(name=rows, version="1", path=str(table), type="mltable"))
    job = _run(
        ml,
        f"""
        type: pipeline
        inputs: {{table: {{type: mltable, path: "azureml:{rows}@latest"}}}}
        jobs:
          read:
            type: command
            command: >-
              cat ${{{{inputs.flow}}}}/w.txt ${{{{inputs.plain}}}} ${{{{inputs.triton}}}}/w.txt
              ${{{{inputs.table}}}}/a.csv
            environment: azureml:plain:1
            inputs:
              flow: {{type: mlflow_model, path: "azureml:{flow}:1"}}
              plain: {{type: custom_model, path: "azureml:{plain}@latest"}}
              triton: {{type: triton_model, path: "{ml.models.get(triton, "1").id}"}}
              table: "${{{{parent.inputs.table}}}}"
        """,
    )
    assert job.status == "Completed"
    assert log_of(ml, local_azure, children(ml, job.name)["read"].name) == "0.5\n0.5\n0.5\na\n1\n"


def test_outputs_are_registered_under_their_names(ml: MLClient) -> None:
    model, numbered, rows = unique("model"), unique("numbered"), unique("rows")
    yaml = f"""
        type: pipeline
        outputs: {{kept: {{type: uri_folder, name: {rows}, version: "7"}}}}
        jobs:
          make:
            type: command
            command: >-
              echo 1 > ${{{{outputs.model}}}}/w; echo 1 > ${{{{outputs.numbered}}}}/w;
              echo 1 > ${{{{outputs.rows}}}}/w
            environment: azureml:plain:1
            outputs:
              model: {{type: mlflow_model, name: {model}, version: "3"}}
              numbered: {{type: custom_model, name: {numbered}}}
              rows: "${{{{parent.outputs.kept}}}}"
        """
    assert _run(ml, yaml).status == "Completed"
    assert ml.models.get(model, "3").type == "mlflow_model"
    assert ml.models.get(numbered, label="latest").version == "1"
    assert ml.data.get(rows, version="7").type == "uri_folder"


def test_data_is_archived_and_restored(ml: MLClient) -> None:
    name, path = unique("rows"), "azureml://datastores/workspaceblobstore/paths/rows/"
    for version in ("1", "2"):
        ml.data.create_or_update(Data(name=name, version=version, path=path, type="uri_folder"))
    assert ml.data.get(name, label="latest").version == "2"
    ml.data.archive(name, version="2")
    assert [data.version for data in ml.data.list(name)] == ["1"]
    ml.data.restore(name, version="2")
    assert [data.version for data in ml.data.list(name)] == ["2", "1"]
    ml.data.archive(name)
    assert name not in [data.name for data in ml.data.list()]


def test_environment_with_a_build_context(ml: MLClient, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM python\n")
    name = unique("env")
    made = ml.environments.create_or_update(
        Environment(name=name, version="1", build=BuildContext(path=str(tmp_path)))
    )
    assert made.build.dockerfile_path == "Dockerfile"
    job = _run(
        ml,
        f"""
        type: pipeline
        jobs: {{hello: {{type: command, command: echo hello, environment: "azureml:{name}:1"}}}}
        """,
    )
    assert job.status == "Completed"
