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


def test_datastores_are_read_with_the_places_they_cover() -> None:
    found = settings.load({**ENVIRONMENT, "SIGNALBOX_DATASTORES": "contosolake/landing=lake"})

    assert found.datastores == {"contosolake/landing": "lake"}
    assert settings.load(ENVIRONMENT).datastores == {}


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
        ("SIGNALBOX_DATASTORES", "lake"),
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


def test_what_may_be_left_out_has_a_default() -> None:
    found = settings.load(ENVIRONMENT)

    assert (found.events_queue, found.events_topic, found.events_subscription) == (
        "signalbox-events",
        "company-news",
        "signalbox",
    )
    assert found.outcomes_topic is None
    assert not found.platform_authentication


SERVICE_BUS = {"ServiceBusConnection__fullyQualifiedNamespace": "ours.servicebus.windows.net"}
CONNECTION = "Endpoint=sb://x/;SharedAccessKeyName=a;SharedAccessKey=c2VjcmV0c2VjcmV0"


@pytest.mark.parametrize("where", [SERVICE_BUS, {"ServiceBusConnection": CONNECTION}])
def test_outcomes_need_to_know_where_service_bus_is(where: dict[str, str]) -> None:
    told = {"SIGNALBOX_OUTCOMES_TOPIC": "told"}

    assert settings.load({**ENVIRONMENT, **told, **where}).outcomes_topic == "told"
    with pytest.raises(SettingsInvalid, match="SIGNALBOX_OUTCOMES_TOPIC needs ServiceBus"):
        settings.load({**ENVIRONMENT, **told})


def test_a_connection_string_is_never_shown() -> None:
    given = {**ENVIRONMENT, "ServiceBusConnection": CONNECTION}
    assert "c2VjcmV0" not in repr(settings.load(given))
    with pytest.raises(SettingsInvalid) as caught:
        settings.load({**given, "SIGNALBOX_OUTCOMES_TOPIC": ""})

    assert "c2VjcmV0" not in str(caught.value)


@pytest.mark.parametrize("value", ["true", "True", "1"])
def test_a_caller_s_name_is_believed_only_behind_azure_s_own_door(value: str) -> None:
    on = {"SIGNALBOX_PLATFORM_AUTHENTICATION": value}

    with pytest.raises(SettingsInvalid, match="authentication is off on the function app"):
        settings.load({**ENVIRONMENT, **on})
    with pytest.raises(SettingsInvalid, match="authentication is off on the function app"):
        settings.load({**ENVIRONMENT, **on, "WEBSITE_AUTH_ENABLED": "False"})
    found = settings.load({**ENVIRONMENT, **on, "WEBSITE_AUTH_ENABLED": "True"})
    assert found.platform_authentication


def test_azure_s_door_alone_makes_nobody_believed() -> None:
    assert not settings.load(
        {**ENVIRONMENT, "WEBSITE_AUTH_ENABLED": "True"}
    ).platform_authentication


def test_a_container_for_definitions_is_none_or_another_than_the_state_s() -> None:
    assert settings.load(ENVIRONMENT).definitions_container is None
    found = settings.load({**ENVIRONMENT, "SIGNALBOX_DEFINITIONS_CONTAINER": "definitions"})
    assert found.definitions_container == "definitions"
    with pytest.raises(SettingsInvalid, match="name another"):
        settings.load({**ENVIRONMENT, "SIGNALBOX_DEFINITIONS_CONTAINER": "signalbox-state"})
    with pytest.raises(SettingsInvalid, match="SIGNALBOX_DEFINITIONS_CONTAINER"):
        settings.load({**ENVIRONMENT, "SIGNALBOX_DEFINITIONS_CONTAINER": "Defs"})
