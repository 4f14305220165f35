"""Keys are off, addresses can be closed, nothing is public that need not be.

Said here and not left to a linter: linters look into no Azure Verified Module.
"""

import re
from collections.abc import Callable
from typing import Any

import pytest

from shared.history import History
from shared.ledger import Ledger, State
from tests.fakes import MemoryBlobs
from tests.infra.bicep import INFRA, Module, all_files, read, verified
from tests.unit.test_ledger import record

#: Module -> what each use of it says.
_MUST: dict[str, dict[str, Any]] = {
    "avm/res/storage/storage-account": {
        "allowSharedKeyAccess": False,
        "allowBlobPublicAccess": False,
        "minimumTlsVersion": "TLS1_2",
    },
    "avm/res/service-bus/namespace": {"disableLocalAuth": True, "minimumTlsVersion": "1.2"},
    "avm/res/insights/component": {"disableLocalAuth": True, "disableIpMasking": False},
    "avm/res/operational-insights/workspace": {"features": {"disableLocalAuth": True}},
    "avm/res/machine-learning-services/workspace": {"systemDatastoresAuthMode": "Identity"},
    "avm/res/key-vault/vault": {"enableRbacAuthorization": True},
    "avm/res/web/site": {
        "httpsOnly": True,
        "siteConfig": {"alwaysOn": False, "minTlsVersion": "1.2"},
        "basicPublishingCredentialsPolicies": [
            {"name": "ftp", "allow": False},
            {"name": "scm", "allow": False},
        ],
    },
}


@pytest.mark.parametrize("path", _MUST)
def test_every_use_of_a_module_is_closed(path: str) -> None:
    uses = verified(path)
    assert uses
    for module in uses:
        for name, value in _MUST[path].items():
            assert module.params.get(name) == value, f"{module.name}.{name}"


def test_four_accounts_are_made_and_all_are_looked_at() -> None:
    assert len(verified("avm/res/storage/storage-account")) == 4


@pytest.mark.parametrize(
    "path",
    [
        "avm/res/storage/storage-account",
        "avm/res/service-bus/namespace",
        "avm/res/web/site",
        "avm/res/key-vault/vault",
        "avm/res/machine-learning-services/workspace",
    ],
)
def test_what_has_an_address_can_be_closed(path: str) -> None:
    for module in verified(path):
        assert {"publicNetworkAccess", "privateEndpoints"} <= set(module.params), module.name


def test_storage_lets_trusted_services_in() -> None:
    """Event Grid writes dead letters into an account that is closed to everybody else."""
    text = read(INFRA / "modules/storage.bicep").text
    assert "bypass: 'AzureServices'" in text
    for module in read(INFRA / "modules/storage.bicep").modules():
        assert module.params["networkAcls"] == "network", module.name


def test_a_network_that_is_made_has_the_zones_that_endpoints_look_for() -> None:
    looked_for = "".join((INFRA / f"modules/{name}.bicep").read_text() for name in _WITH_ENDPOINTS)
    there = re.findall(r"'(privatelink\.[^']+)'", (INFRA / "network.bicep").read_text())
    asked = set(re.findall(r"'/(privatelink\.[^']+)'", looked_for))
    asked.remove("privatelink.${service}.${environment().suffixes.storage}")

    services = {f"privatelink.{name}.${{environment().suffixes.storage}}" for name in _STORAGE}
    assert sorted(there) == sorted(asked | services)


_WITH_ENDPOINTS = ("app", "messaging", "storage", "workspace")
#: What `endpoints` of storage.bicep has.
_STORAGE = ("blob", "queue", "table")


def test_no_secret_is_asked_for_or_put_out() -> None:
    for file in all_files():
        assert "listKeys" not in file.text, file.name
        assert "@secure" not in file.text, file.name
        assert not re.search(r"\.(primary|secondary)(Access)?(Key|ConnectionString)", file.text)


def test_datastores_have_no_credentials() -> None:
    file = read(INFRA / "modules/workspace-contents.bicep")
    assert "credentialsType: 'None'" in file.text
    assert "secrets" not in file.text


def _only(path: str, check: Callable[[Module], bool]) -> None:
    [module] = verified(path)
    assert check(module)


def test_the_broker_keeps_and_gives_up_as_the_app_expects() -> None:
    def expected(module: Module) -> bool:
        [queue] = module.params["queues"]
        events, outcomes = module.params["topics"]
        [subscription] = events["subscriptions"]
        return bool(
            queue["requiresDuplicateDetection"]
            and events["requiresDuplicateDetection"]
            and outcomes["requiresDuplicateDetection"]
            # What the pause between deliveries is computed for: functions/service_bus.py.
            and queue["maxDeliveryCount"] == subscription["maxDeliveryCount"] == 10
            and queue["deadLetteringOnMessageExpiration"]
            and subscription["deadLetteringOnMessageExpiration"]
        )

    _only("avm/res/service-bus/namespace", expected)


def test_the_plan_is_flex_consumption_with_the_project_s_python() -> None:
    _only("avm/res/web/serverfarm", lambda module: module.params["skuName"] == "FC1")
    [site] = verified("avm/res/web/site")
    config = site.params["functionAppConfig"]
    version = (INFRA.parent / ".python-version").read_text().strip()
    assert config["runtime"] == {"name": "python", "version": version}
    assert config["deployment"]["storage"]["authentication"]["type"] == "UserAssignedIdentity"
    assert set(config["scaleAndConcurrency"]) == {"maximumInstanceCount", "instanceMemoryMB"}


def test_state_expires_by_its_tag_and_history_by_its_place() -> None:
    """The rules of lifecycle apply to what is really written, and to nothing that is open."""
    rules = {
        rule["name"]: rule["definition"]["filters"]
        for rule in read(INFRA / "modules/storage.bicep").tree["variables"]["expiry"]["value"]
    }
    assert set(rules) == {"final-records", "history", "dead-letters"}
    blobs = MemoryBlobs()
    ledger = Ledger(blobs)
    kept = ledger.create(record(key="over"))
    assert kept
    assert ledger.create(record(key="open"))
    assert ledger.swap(kept, kept.record.moved(State.CANCELED, kept.at))
    History(blobs).finished("on-upload", "over", kept.record.event, kept.at, {"decision": "done"})

    expiring = {
        rule: sorted(name for name in blobs.stored if _expires(filters, name, blobs))
        for rule, filters in rules.items()
    }
    assert expiring["final-records"] == ["ledger/on-upload/over.json"]
    assert [name.partition("/")[0] for name in expiring["history"]] == ["history"]
    assert expiring["dead-letters"] == []


def _expires(filters: dict[str, Any], name: str, blobs: MemoryBlobs) -> bool:
    tags = blobs.stored[name].tags
    begins = [prefix.removeprefix("${stateContainer}/") for prefix in filters["prefixMatch"]]
    return name.startswith(tuple(begins)) and all(
        tags.get(match["name"]) == match["value"] for match in filters.get("blobIndexMatch", [])
    )
