import pytest

from shared import bootstrap
from shared.errors import SettingsInvalid

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
