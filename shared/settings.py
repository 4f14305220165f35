"""The app settings, read once from the environment.

Every setting is listed here and nowhere else. Identity has none of its own: azure-identity reads
AZURE_CLIENT_ID and the rest by itself.
"""

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.errors import SettingsInvalid

_VARIABLE_PREFIX = "SIGNALBOX_VAR_"

Name = Annotated[str, Field(min_length=1, max_length=260)]


class Settings(BaseModel):
    """What a deployment is told about its surroundings."""

    model_config = ConfigDict(frozen=True, populate_by_name=False, extra="ignore")

    #: Names this deployment in keys, job names and tags: two of them share a workspace safely.
    deployment: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")] = Field(
        alias="SIGNALBOX_DEPLOYMENT"
    )
    #: Storage account of the state container.
    state_account: Annotated[str, Field(pattern=r"^[a-z0-9]{3,24}$")] = Field(
        alias="SIGNALBOX_STATE_ACCOUNT"
    )
    #: Container that holds all state. Grant nobody else write access to it.
    state_container: Annotated[
        str, Field(pattern=r"^[a-z0-9](?:-?[a-z0-9]){2,62}$", max_length=63)
    ] = Field(alias="SIGNALBOX_STATE_CONTAINER", default="signalbox-state")
    #: The AzureML workspace that runs the pipelines.
    subscription: Annotated[str, Field(pattern=r"^[0-9a-fA-F-]{36}$")] = Field(
        alias="SIGNALBOX_SUBSCRIPTION_ID"
    )
    resource_group: Name = Field(alias="SIGNALBOX_RESOURCE_GROUP")
    workspace: Name = Field(alias="SIGNALBOX_WORKSPACE")
    #: What triggers read as `settings.<name>`: the app settings SIGNALBOX_VAR_<NAME>.
    variables: dict[str, str] = Field(default_factory=dict)

    @property
    def state_account_url(self) -> str:
        return f"https://{self.state_account}.blob.core.windows.net"


def load(environment: Mapping[str, str]) -> Settings:
    """The settings in an environment.

    Raises SettingsInvalid that names every missing or malformed one.
    """
    variables = {
        name.removeprefix(_VARIABLE_PREFIX).lower(): value
        for name, value in environment.items()
        if re.fullmatch(_VARIABLE_PREFIX + r"[A-Z][A-Z0-9_]*", name)
    }
    try:
        return Settings.model_validate({**environment, "variables": variables})
    except ValidationError as error:
        # The values are left out on purpose: a mistyped setting may hold a secret.
        lines = [f"{item['loc'][0]}: {item['msg']}" for item in error.errors()]
        raise SettingsInvalid(
            "These app settings are missing or malformed. Set them on the function app, or export "
            "them in this shell:\n" + "\n".join(lines)
        ) from None
