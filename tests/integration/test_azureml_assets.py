"""Registering and finding what jobs are made of."""

from pathlib import Path

import pytest
from azure.ai.ml import Input, MLClient, Output
from azure.ai.ml.constants import AssetTypes
from azure.ai.ml.entities import CommandComponent, Data, Environment, PipelineComponent
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

from emulator.stack import LocalAzure
from tests.integration.workspace import clear_requests, pipeline, requests, unique

_PLAIN = "azureml:plain:1"


def _command(name: str, *, command: str = "echo hello", version: str = "1") -> CommandComponent:
    return CommandComponent(
        name=name,
        version=version,
        command=command,
        environment=_PLAIN,
        inputs={"rate": Input(type="number", default=0.5), "data": Input(type="uri_file")},
        outputs={"model": Output(type="uri_folder")},
    )


def test_workspace_and_default_datastore(ml: MLClient, local_azure: LocalAzure) -> None:
    workspace = ml.workspaces.get(local_azure.topology.workspace.name)
    assert workspace.location == "westeurope"
    assert ml.datastores.get_default().name == "workspaceblobstore"
    stores = {store.name: store.container_name for store in ml.datastores.list()}
    assert stores == {
        "workspaceblobstore": "azureml-blobstore-local",
        "workspaceartifactstore": "azureml",
    }


def test_datastore_secrets_are_a_sas(ml: MLClient) -> None:
    secrets = ml.datastores._list_secrets("workspaceblobstore", expirable_secret=True)
    assert "sig=" in secrets.sas_token


def test_unknown_datastore(ml: MLClient) -> None:
    with pytest.raises(ResourceNotFoundError, match="workspaceblobstore, workspaceartifactstore"):
        ml.datastores.get("elsewhere")


def test_computes(ml: MLClient) -> None:
    assert [compute.name for compute in ml.compute.list()] == ["cpu-cluster"]
    cluster = ml.compute.get("cpu-cluster")
    assert (cluster.type, cluster.tier, cluster.max_instances) == ("amlcompute", "dedicated", 4)
    with pytest.raises(ResourceNotFoundError, match="ResourceNotFound"):
        ml.compute.get("gpu-cluster")


def test_environment_versions_and_latest_label(ml: MLClient) -> None:
    name = unique("env")
    for version in ("1", "2"):
        ml.environments.create_or_update(
            Environment(name=name, version=version, image=f"image-{version}")
        )
    assert ml.environments.get(name, "1").image == "image-1"
    assert ml.environments.get(name, label="latest").version == "2"
    assert [found.version for found in ml.environments.list(name)] == ["2", "1"]
    assert name in [found.name for found in ml.environments.list()]


def test_environment_version_cannot_get_another_content(ml: MLClient) -> None:
    name = unique("env")
    ml.environments.create_or_update(Environment(name=name, version="1", image="one"))
    ml.environments.create_or_update(Environment(name=name, version="1", image="one"))
    with pytest.raises(ResourceExistsError, match="different image"):
        ml.environments.create_or_update(Environment(name=name, version="1", image="two"))


def test_unversioned_environment_gets_the_next_number(ml: MLClient) -> None:
    name = unique("env")
    versions = [
        ml.environments.create_or_update(Environment(name=name, image=image)).version
        for image in ("one", "one", "two")
    ]
    assert versions == ["1", "1", "2"]


def test_command_component_comes_back_as_it_was(ml: MLClient) -> None:
    name = unique("train")
    made = ml.components.create_or_update(_command(name))
    found = ml.components.get(name, "1")
    assert found.id == made.id
    assert found.command == "echo hello"
    assert found.environment.endswith("/environments/plain/versions/1")
    assert (found.inputs["rate"].type, float(found.inputs["rate"].default)) == ("number", 0.5)
    assert found.outputs["model"].type == "uri_folder"


def test_component_version_is_fixed_but_its_tags_are_not(ml: MLClient) -> None:
    name = unique("train")
    ml.components.create_or_update(_command(name))
    again = _command(name)
    again.tags = {"owner": "me"}
    assert ml.components.create_or_update(again).tags == {"owner": "me"}
    with pytest.raises(ResourceExistsError, match="different componentSpec"):
        ml.components.create_or_update(_command(name, command="echo changed"))


def test_component_versions_newest_first(ml: MLClient) -> None:
    name = unique("train")
    for version in ("b", "a", "c"):
        ml.components.create_or_update(_command(name, version=version))
    assert [found.version for found in ml.components.list(name=name)] == ["c", "a", "b"]
    assert ml.components.get(name).version == "c"
    assert ml.components.get(name, label="latest").version == "c"


def test_unknown_component(ml: MLClient) -> None:
    with pytest.raises(ResourceNotFoundError, match="Could not find component 'nothing'"):
        ml.components.get("nothing", "1")


def test_code_is_uploaded_once(ml: MLClient, local_azure: LocalAzure, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("print('trained')\n")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "data.py").write_text("x = 1\n")

    def register(name: str) -> str:
        component = _command(name, command="python train.py")
        component.code = str(tmp_path)
        return str(ml.components.create_or_update(component).code)

    clear_requests(local_azure)
    first, second = register(unique("a")), register(unique("b"))
    uploads = [r for r in requests(local_azure) if r["path"].endswith("/startPendingUpload")]
    assert first == second
    assert len(uploads) == 1

    name, version = first.rsplit("/", 3)[1], first.rsplit("/", 1)[1]
    ml.components._code_operations.download(name, version, tmp_path / "back")
    assert (tmp_path / "back" / "train.py").read_text() == "print('trained')\n"
    assert (tmp_path / "back" / "lib" / "data.py").read_text() == "x = 1\n"


def test_component_with_code_that_does_not_exist(ml: MLClient) -> None:
    component = _command(unique("train"))
    component.code = f"{_workspace_id(ml)}/codes/nothing/versions/1"
    with pytest.raises(ResourceNotFoundError, match="Could not find code 'nothing'"):
        ml.components.create_or_update(component)


def test_component_with_environment_that_does_not_exist(ml: MLClient) -> None:
    component = _command(unique("train"))
    component.environment = "azureml:nothing:1"
    with pytest.raises(ResourceNotFoundError, match="Could not find environment 'nothing'"):
        ml.components.create_or_update(component)


def _pipeline_component(name: str, *, node: str) -> PipelineComponent:
    job = pipeline(
        f"""
        type: pipeline
        inputs: {{who: world, where: cpu-cluster}}
        jobs:
          greet:
            type: command
            component: {node}
            inputs: {{who: "${{{{parent.inputs.who}}}}"}}
        """
    )
    return PipelineComponent(
        name=name,
        version="1",
        inputs={"who": Input(type="string"), "where": Input(type="string", default="cpu-cluster")},
        jobs=job.jobs,
    )


def _greeting(ml: MLClient) -> str:
    component = CommandComponent(
        name=unique("greet"),
        version="1",
        command="echo hello ${{inputs.who}}",
        environment=_PLAIN,
        inputs={"who": Input(type="string")},
    )
    made = ml.components.create_or_update(component)
    return f"azureml:{made.name}:{made.version}"


def test_pipeline_component(ml: MLClient) -> None:
    name = unique("pipe")
    ml.components.create_or_update(_pipeline_component(name, node=_greeting(ml)))
    found = ml.components.get(name, "1")
    assert found.type == "pipeline"
    assert list(found.jobs) == ["greet"]


def test_pipeline_component_with_a_fixed_compute_is_refused(ml: MLClient) -> None:
    component = _pipeline_component(unique("pipe"), node=_greeting(ml))
    component.jobs["greet"].compute = "cpu-cluster"
    with pytest.raises(HttpResponseError, match="can't have runtime settings") as caught:
        ml.components.create_or_update(component)
    assert caught.value.status_code == 400
    assert "cpu-cluster" in str(caught.value)


def test_pipeline_component_with_a_promoted_compute(ml: MLClient) -> None:
    component = _pipeline_component(unique("pipe"), node=_greeting(ml))
    component.jobs["greet"].compute = "${{parent.inputs.where}}"
    assert ml.components.create_or_update(component).version == "1"


def test_pipeline_component_of_a_missing_component_is_refused(ml: MLClient) -> None:
    with pytest.raises(ResourceNotFoundError, match="Could not find component 'nothing'"):
        ml.components.create_or_update(
            _pipeline_component(unique("pipe"), node="azureml:nothing:7")
        )


def test_data_asset_is_uploaded_and_found(ml: MLClient, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    name = unique("data")
    data = Data(name=name, version="1", path=str(tmp_path / "rows.csv"), type=AssetTypes.URI_FILE)
    ml.data.create_or_update(data)
    found = ml.data.get(name, version="1")
    assert found.type == "uri_file"
    assert found.path.endswith("rows.csv")
    assert ml.data.get(name, label="latest").version == "1"


def _workspace_id(ml: MLClient) -> str:
    return (
        f"/subscriptions/{ml.subscription_id}/resourceGroups/{ml.resource_group_name}"
        f"/providers/Microsoft.MachineLearningServices/workspaces/{ml.workspace_name}"
    )
