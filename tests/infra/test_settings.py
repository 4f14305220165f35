"""Each setting of the app is set by the template, in the local app, and on its page."""

import json
import re

from shared import settings
from tests.infra.bicep import INFRA, ROOT, Bicep, body, read
from tests.unit.pages import page

#: The platform sets it itself; a connection string is for the local broker alone.
_NOT_IN_AZURE = {"WEBSITE_AUTH_ENABLED", "ServiceBusConnection"}
#: The local broker comes with a connection string, which `LocalAzure` sets.
_NOT_LOCAL = {
    "WEBSITE_AUTH_ENABLED",
    "ServiceBusConnection",
    "ServiceBusConnection__fullyQualifiedNamespace",
}
#: What the Functions host reads, for connections with an identity. Source: "Connect to host storage
#: with an identity", "Service Bus bindings: identity-based connections", Application Insights.
_HOST = {
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    # Source: azure_functions_runtime, utils/constants.py.
    "PYTHON_ENABLE_OPENTELEMETRY",
    "AZURE_CLIENT_ID",
    "AzureWebJobsStorage__blobServiceUri",
    "AzureWebJobsStorage__queueServiceUri",
    "AzureWebJobsStorage__tableServiceUri",
    "AzureWebJobsStorage__credential",
    "AzureWebJobsStorage__clientId",
    "ServiceBusConnection__credential",
    "ServiceBusConnection__clientId",
}


def _known() -> set[str]:
    aliases = (field.alias for field in settings.Settings.model_fields.values())
    return {str(alias) for alias in aliases if alias}


def _app() -> Bicep:
    return read(INFRA / "modules/app.bicep")


def _set() -> dict[str, object]:
    """What the template sets."""
    own = re.search(
        r"properties: union\(\{\n(?P<own>.*?)\n        \}, settings, variableSettings\)",
        _app().text,
        re.DOTALL,
    )
    assert own
    names = re.findall(r"^ +([A-Za-z_]\w*): ", own["own"], re.MULTILINE)
    [given] = [one.params for one in read(INFRA / "main.bicep").modules() if one.name == "app"]
    return {**dict.fromkeys(names, ""), **given["settings"]}


def test_the_template_sets_every_setting_and_no_other() -> None:
    assert set(_set()) == (_known() - _NOT_IN_AZURE) | _HOST


def test_none_is_a_secret() -> None:
    for name in _set():
        assert not re.search(r"(?i)key|secret|password|connectionstring$", name), name


def test_the_local_app_has_every_setting_and_no_other() -> None:
    local = json.loads((ROOT / "local.settings.json").read_text())["Values"]
    ours = {name for name in local if name.startswith(("SIGNALBOX_", "ServiceBusConnection"))}

    assert ours == _known() - _NOT_LOCAL
    assert set(local) - ours == {"FUNCTIONS_WORKER_RUNTIME", "AzureWebJobsStorage__blobServiceUri"}


def test_variables_become_settings() -> None:
    prefix = "SIGNALBOX_VAR_"

    assert f"'{prefix}${{toUpper(" in _app().text
    assert settings.load({**_minimal(), f"{prefix}STAGE": "dev"}).variables == {"stage": "dev"}


def test_what_the_template_names_is_allowed() -> None:
    main = read(INFRA / "main.bicep")
    variables = {name: one["value"] for name, one in main.tree["variables"].items()}
    loaded = settings.load(
        {
            **_minimal(),
            "SIGNALBOX_STATE_ACCOUNT": str(variables["stateAccount"]).replace("${token}", "a" * 13),
            "SIGNALBOX_STATE_CONTAINER": variables["stateContainer"],
            "SIGNALBOX_DEFINITIONS_CONTAINER": variables["definitionsContainer"],
            "SIGNALBOX_DATASTORES": "contosolake/landing=contosolake_landing",
        }
    )

    assert loaded.definitions_container != loaded.state_container


def test_queue_and_topics_are_called_alike_everywhere() -> None:
    main = read(INFRA / "main.bicep")
    local = json.loads((ROOT / "local.settings.json").read_text())["Values"]
    names = {
        "eventsQueue": "SIGNALBOX_EVENTS_QUEUE",
        "eventsTopic": "SIGNALBOX_EVENTS_TOPIC",
        "eventsSubscription": "SIGNALBOX_EVENTS_SUBSCRIPTION",
        "outcomesTopic": "SIGNALBOX_OUTCOMES_TOPIC",
    }
    for parameter, name in names.items():
        assert main.parameters[parameter]["default"] == local[name], name


def test_the_command_reads_what_the_template_puts_out() -> None:
    """What `signalbox publish` needs is what azd keeps in its environment."""
    outputs = set(read(INFRA / "main.bicep").outputs)

    assert set(_minimal()) <= outputs
    assert "SIGNALBOX_URL" in outputs
    unknown = {name for name in outputs if name.startswith("SIGNALBOX_")} - _known()
    assert unknown == {"SIGNALBOX_URL"}


def test_every_parameter_of_the_template_is_on_its_page() -> None:
    given = json.loads((INFRA / "main.parameters.json").read_text())["parameters"]
    variables = {value["value"].strip("${}") for value in given.values()}
    # azd asks for these itself.
    asked = {"AZURE_ENV_NAME", "AZURE_LOCATION", "AZURE_PRINCIPAL_ID", "AZURE_PRINCIPAL_TYPE"}

    assert sorted(page("docs/deploy.md").keys("variable", "default", "meaning")) == sorted(
        variables - asked
    )


def test_the_page_s_defaults_are_the_template_s() -> None:
    main = read(INFRA / "main.bicep")
    given = json.loads((INFRA / "main.parameters.json").read_text())["parameters"]
    names = {value["value"].strip("${}"): name for name, value in given.items()}
    for variable, shown, _ in page("docs/deploy.md").table("variable", "default", "meaning"):
        default = main.parameters[names[variable.strip("`")]]["default"]
        if isinstance(default, bool | int) or (isinstance(default, str) and default.isidentifier()):
            expected = f"`{str(default).lower() if isinstance(default, bool) else default}`"
            # A name alone is another parameter's value.
            assert shown in (expected, "the deployment's"), variable


def _minimal() -> dict[str, str]:
    return {
        "SIGNALBOX_DEPLOYMENT": "dev",
        "SIGNALBOX_STATE_ACCOUNT": "ststate",
        "SIGNALBOX_SUBSCRIPTION_ID": "22222222-2222-2222-2222-222222222222",
        "SIGNALBOX_RESOURCE_GROUP": "rg",
        "SIGNALBOX_WORKSPACE": "ml",
    }


def test_the_identity_is_the_same_for_all_that_sign_in() -> None:
    text = _app().text
    for name in ("AzureWebJobsStorage__clientId", "ServiceBusConnection__clientId"):
        assert f"{name}: identityClientId" in text
    assert "AZURE_CLIENT_ID: identityClientId" in text
    [site] = [one for one in _app().modules() if one.verified == "avm/res/web/site"]
    assert site.params["managedIdentities"] == {"userAssignedResourceIds": ["identityId"]}
    assert body(_app().tree["modules"]["site"])["params"] == site.params
