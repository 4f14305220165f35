"""Where a step's outputs go, and how run history knows them afterwards."""

import re
from collections.abc import Mapping

from emulator.azureml.execution.plan import Plan, Step
from emulator.azureml.graphs.specs import LEGACY_PATH
from emulator.azureml.locations import Location, parse
from emulator.azureml.runhistory.models import RunAsset
from emulator.azureml.workspace import Workspace

_MACRO = re.compile(r"\$\{\{\s*(name|output_name|default_datastore)\s*\}\}")


def output_uris(step: Step, plan: Plan, run_name: str) -> Mapping[str, str]:
    """The address of each output of a step, as its job, its node or the default says."""
    found = {}
    for name, kind in step.component.outputs.items():
        target = step.node.outputs.get(name)
        uri = None
        if target is not None:
            uri = target.uri
            if target.parent_output is not None:
                uri = plan.output_uris.get(target.parent_output)
        if uri is None:
            uri = (
                f"azureml://datastores/{plan.default_datastore}/paths/azureml/${{{{name}}}}/{name}"
            )
        macros = {
            "name": run_name,
            "output_name": name,
            "default_datastore": plan.default_datastore,
        }
        uri = _MACRO.sub(lambda match, macros=macros: macros[match[1]], uri)  # type: ignore[misc]
        found[name] = uri if kind == "uri_file" else uri.rstrip("/") + "/"
    return found


def output_names(step: Step, plan: Plan) -> dict[str, tuple[str, str | None]]:
    """Name and version of the asset that each output is registered as, where one is named."""
    found = {}
    for name, target in step.node.outputs.items():
        if target.asset_name:
            found[name] = (target.asset_name, target.asset_version)
        elif above := plan.output_names.get(target.parent_output or ""):
            found[name] = above
    return found


def run_asset(run_name: str, output: str, kind: str, uri: str, workspace: Workspace) -> RunAsset:
    """An output as run history refers to it, with the long form of its address."""
    return RunAsset(
        asset_id=(
            f"azureml://locations/{workspace.region}/workspaces/{workspace.workspace_id}"
            f"/data/{asset_name(run_name, output)}/versions/1"
        ),
        type="uri_folder" if kind == LEGACY_PATH else kind,
        uri=long_uri(parse(uri, workspace), workspace),
    )


def asset_name(run_name: str, output: str) -> str:
    """The name under which the service registers an output as data."""
    return f"azureml_{run_name}_output_data_{output}"


def long_uri(location: Location, workspace: Workspace) -> str:
    """The address through the workspace's datastore, or plain when it is outside of them."""
    for name, datastore in workspace.datastores.items():
        if (datastore.account, datastore.container) == (location.account, location.container):
            return (
                f"azureml://subscriptions/{workspace.subscription}/resourcegroups"
                f"/{workspace.resource_group}/workspaces/{workspace.name}"
                f"/datastores/{name}/paths/{location.path}"
            )
    return location.url
