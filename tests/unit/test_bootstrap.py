from typing import Any

import pytest
from azure.core.credentials import AccessToken

from shared import bootstrap, settings
from shared.errors import SettingsInvalid
from shared.outcomes import ServiceBusOutcomes

ENVIRONMENT = {
    "SIGNALBOX_DEPLOYMENT": "test",
    "SIGNALBOX_STATE_ACCOUNT": "signalboxstate",
    "SIGNALBOX_SUBSCRIPTION_ID": "22222222-2222-2222-2222-222222222222",
    "SIGNALBOX_RESOURCE_GROUP": "rg-ml",
    "SIGNALBOX_WORKSPACE": "ml",
}


def test_an_app_is_put_together_without_talking_to_anybody() -> None:
    # There is no identity and no network here.
    one, other = bootstrap.build(ENVIRONMENT), bootstrap.build(ENVIRONMENT)

    assert one.dispatcher is not other.dispatcher


def test_an_app_needs_its_settings() -> None:
    with pytest.raises(SettingsInvalid, match="SIGNALBOX_WORKSPACE"):
        bootstrap.build({**ENVIRONMENT, "SIGNALBOX_WORKSPACE": ""})


def test_outcomes_are_sent_only_where_a_topic_is_named() -> None:
    told = {
        **ENVIRONMENT,
        "SIGNALBOX_OUTCOMES_TOPIC": "told",
        "ServiceBusConnection__fullyQualifiedNamespace": "ours.servicebus.windows.net",
    }

    assert bootstrap._outcomes(settings.load(ENVIRONMENT), Nobody()) is None
    assert isinstance(bootstrap._outcomes(settings.load(told), Nobody()), ServiceBusOutcomes)
    # Not even this talks to anybody.
    assert bootstrap.build(told)


class Nobody:
    """Never asked."""

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        raise AssertionError(scopes)
