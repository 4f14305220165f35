"""The app settings, read once from the environment.

Every setting is listed here and nowhere else. Identity has none of its own: azure-identity reads
AZURE_CLIENT_ID and the rest by itself.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from shared.datastores import parse
from shared.errors import SettingsInvalid
from shared.mistakes import at

_VARIABLE_PREFIX = "SIGNALBOX_VAR_"

Name = Annotated[str, Field(min_length=1, max_length=260)]

_DEPLOYMENT = r"^[a-z][a-z0-9-]{0,30}$"
_ACCOUNT = r"^[a-z0-9]{3,24}$"
_CONTAINER = r"^[a-z0-9](?:-?[a-z0-9]){2,62}$"
_SUBSCRIPTION = r"^[0-9a-fA-F-]{36}$"

#: Pattern -> what is said of a text that does not fit it.
FORMS = {
    _DEPLOYMENT: "must be lower-case letters, digits and '-', at most 31, beginning with a letter",
    _ACCOUNT: "is no storage account's name: 3 to 24 lower-case letters and digits",
    _CONTAINER: "is no container's name: 3 to 63 lower-case letters, digits and single '-'",
    _SUBSCRIPTION: "is no subscription's id: 36 hexadecimal digits and '-'",
}


class Settings(BaseModel):
    """What a deployment is told about its surroundings."""

    model_config = ConfigDict(frozen=True, populate_by_name=False, extra="ignore")

    #: Names this deployment in keys, job names and tags: two of them share a workspace safely.
    deployment: Annotated[str, Field(pattern=_DEPLOYMENT)] = Field(alias="SIGNALBOX_DEPLOYMENT")
    #: Storage account of the state container.
    state_account: Annotated[str, Field(pattern=_ACCOUNT)] = Field(alias="SIGNALBOX_STATE_ACCOUNT")
    #: Container that holds all state. Grant nobody else write access to it.
    state_container: Annotated[str, Field(pattern=_CONTAINER, max_length=63)] = Field(
        alias="SIGNALBOX_STATE_CONTAINER", default="signalbox-state"
    )
    #: Container in that account for definitions that are put there by hand; none when left out.
    #: Who may write there decides what runs in the workspace.
    definitions_container: Annotated[str | None, Field(pattern=_CONTAINER, max_length=63)] = Field(
        alias="SIGNALBOX_DEFINITIONS_CONTAINER", default=None
    )
    #: The AzureML workspace that runs the pipelines.
    subscription: Annotated[str, Field(pattern=_SUBSCRIPTION)] = Field(
        alias="SIGNALBOX_SUBSCRIPTION_ID"
    )
    resource_group: Name = Field(alias="SIGNALBOX_RESOURCE_GROUP")
    workspace: Name = Field(alias="SIGNALBOX_WORKSPACE")
    #: The queue, and the topic and its subscription, that the app takes messages from.
    events_queue: Name = Field(alias="SIGNALBOX_EVENTS_QUEUE", default="signalbox-events")
    events_topic: Name = Field(alias="SIGNALBOX_EVENTS_TOPIC", default="company-news")
    events_subscription: Name = Field(alias="SIGNALBOX_EVENTS_SUBSCRIPTION", default="signalbox")
    #: The topic that outcomes of runs are published to; none when left out.
    outcomes_topic: Name | None = Field(alias="SIGNALBOX_OUTCOMES_TOPIC", default=None)
    #: Where Service Bus is: the namespace's host name, which needs the app's identity …
    service_bus_namespace: str | None = Field(
        alias="ServiceBusConnection__fullyQualifiedNamespace", default=None
    )
    #: … or a connection string. The functions host reads the same two.
    service_bus_connection: Annotated[str | None, Field(repr=False)] = Field(
        alias="ServiceBusConnection", default=None
    )
    #: Whether Azure's platform authentication stands before the HTTP API. Only then is the
    #: caller it names believed.
    platform_authentication: bool = Field(alias="SIGNALBOX_PLATFORM_AUTHENTICATION", default=False)
    #: What Azure itself says of that: it sets this variable, nobody else.
    platform_authentication_enabled: bool = Field(alias="WEBSITE_AUTH_ENABLED", default=False)
    #: Datastores of the workspace, by the account and container that each covers.
    datastores: Annotated[
        dict[str, str],
        BeforeValidator(lambda given: parse(given) if isinstance(given, str) else given),
    ] = Field(alias="SIGNALBOX_DATASTORES", default_factory=dict)
    #: What triggers read as `settings.<name>`: the app settings SIGNALBOX_VAR_<NAME>.
    variables: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.outcomes_topic and not (self.service_bus_namespace or self.service_bus_connection):
            raise ValueError(
                "SIGNALBOX_OUTCOMES_TOPIC needs ServiceBusConnection__fullyQualifiedNamespace"
            )
        if self.definitions_container == self.state_container:
            raise ValueError(
                "SIGNALBOX_DEFINITIONS_CONTAINER is the state container; name another: who puts "
                "definitions there need not write state"
            )
        if self.platform_authentication and not self.platform_authentication_enabled:
            raise ValueError(
                "SIGNALBOX_PLATFORM_AUTHENTICATION is on, but authentication is off on the "
                "function app: anybody could say who they are. Turn it on there first"
            )
        return self

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
        lines = [at(".".join(map(str, item["loc"])), item, FORMS) for item in error.errors()]
        raise SettingsInvalid(
            "These app settings are missing or malformed. Set them on the function app, or export "
            "them in this shell:\n" + "\n".join(lines)
        ) from None
