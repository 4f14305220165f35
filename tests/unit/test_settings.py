import pytest

from shared import settings
from shared.errors import SettingsInvalid

ENVIRONMENT = {
    "SIGNALBOX_DEPLOYMENT": "prod-eu",
    "SIGNALBOX_STATE_ACCOUNT": "signalboxstate",
    "SIGNALBOX_SUBSCRIPTION_ID": "22222222-2222-2222-2222-222222222222",
    "SIGNALBOX_RESOURCE_GROUP": "rg-ml",
    "SIGNALBOX_WORKSPACE": "ml",
}


def test_reads_the_environment_and_ignores_what_is_not_ours() -> None:
    found = settings.load({**ENVIRONMENT, "PATH": "/bin", "WEBSITE_HOSTNAME": "x"})

    assert found.deployment == "prod-eu"
    assert found.state_account_url == "https://signalboxstate.blob.core.windows.net"
    assert found.state_container == "signalbox-state"
    assert (found.resource_group, found.workspace) == ("rg-ml", "ml")
    assert found.variables == {}


def test_the_container_can_be_named() -> None:
    assert settings.load({**ENVIRONMENT, "SIGNALBOX_STATE_CONTAINER": "abc"}).state_container == (
        "abc"
    )


def test_variables_are_what_triggers_see_as_settings() -> None:
    found = settings.load(
        {
            **ENVIRONMENT,
            "SIGNALBOX_VAR_STAGE": "dev",
            "SIGNALBOX_VAR_MAX_ROWS_2": "5",
            "SIGNALBOX_VAR_": "no name",
        }
    )

    assert found.variables == {"stage": "dev", "max_rows_2": "5"}


def test_names_every_missing_setting_at_once() -> None:
    with pytest.raises(SettingsInvalid) as caught:
        settings.load({})

    for name in ENVIRONMENT:
        assert name in str(caught.value)
    assert "function app" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SIGNALBOX_DEPLOYMENT", "Prod"),
        ("SIGNALBOX_DEPLOYMENT", ""),
        ("SIGNALBOX_DEPLOYMENT", "a" * 32),
        ("SIGNALBOX_DEPLOYMENT", "prod\n"),
        ("SIGNALBOX_STATE_ACCOUNT", "https://signalboxstate"),
        ("SIGNALBOX_STATE_ACCOUNT", "ab"),
        ("SIGNALBOX_STATE_CONTAINER", "two--hyphens"),
        ("SIGNALBOX_STATE_CONTAINER", "-edge"),
        ("SIGNALBOX_SUBSCRIPTION_ID", "my subscription"),
        ("SIGNALBOX_RESOURCE_GROUP", ""),
        ("SIGNALBOX_WORKSPACE", ""),
    ],
)
def test_names_a_malformed_setting_only(name: str, value: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        settings.load({**ENVIRONMENT, name: value})

    named = {word.rstrip(":") for word in str(caught.value).split() if "SIGNALBOX_" in word}
    assert named == {name}


def test_never_repeats_a_value_that_may_be_a_secret() -> None:
    with pytest.raises(SettingsInvalid) as caught:
        settings.load({**ENVIRONMENT, "SIGNALBOX_SUBSCRIPTION_ID": "AccountKey=s3cret"})

    assert "s3cret" not in str(caught.value)


def test_a_container_name_has_at_most_63_characters() -> None:
    with pytest.raises(SettingsInvalid):
        settings.load({**ENVIRONMENT, "SIGNALBOX_STATE_CONTAINER": "a-" * 60 + "a"})
