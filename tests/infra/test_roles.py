"""Who may do what: the table, where it is applied, and the page that shows it."""

import json
import re
from typing import Any

from shared import roles as remedies
from tests.infra.bicep import INFRA, Bicep, all_files, body, read
from tests.unit.pages import codes, page

_TABLE: dict[str, Any] = json.loads((INFRA / "roles.json").read_text())
_GRANTS: list[dict[str, str]] = _TABLE["grants"]

#: Places of the table -> the type of what they are, and in which file it is the scope.
_PLACES = {
    "host": ("Microsoft.Storage/storageAccounts", "modules/roles.bicep"),
    "state": (
        "Microsoft.Storage/storageAccounts/blobServices/containers",
        "modules/roles.bicep",
    ),
    "definitions": (
        "Microsoft.Storage/storageAccounts/blobServices/containers",
        "modules/roles.bicep",
    ),
    "deadLetters": (
        "Microsoft.Storage/storageAccounts/blobServices/containers",
        "modules/roles.bicep",
    ),
    "queue": ("Microsoft.ServiceBus/namespaces/queues", "modules/roles.bicep"),
    "subscription": ("Microsoft.ServiceBus/namespaces/topics/subscriptions", "modules/roles.bicep"),
    "outcomes": ("Microsoft.ServiceBus/namespaces/topics", "modules/roles.bicep"),
    "insights": ("Microsoft.Insights/components", "modules/roles.bicep"),
    "jobsIdentity": ("Microsoft.ManagedIdentity/userAssignedIdentities", "modules/roles.bicep"),
    "workspace": ("Microsoft.MachineLearningServices/workspaces", "modules/roles-workspace.bicep"),
}
#: Places that a module applies, by its parameter `place`.
_ACCOUNTS = {"source", "workspaceStorage"}

#: Source: Azure built-in roles.
_IDS = {
    "Azure Service Bus Data Receiver": "4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0",
    "Azure Service Bus Data Sender": "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39",
    "AzureML Compute Operator": "e503ece1-11d0-4e8e-8e2c-7a6c3bf38815",
    "AzureML Data Scientist": "f6c7c914-8db3-469d-8ca1-694a8f32e121",
    "Managed Identity Operator": "f1a07417-d97a-45cb-824c-7a7467783830",
    "Monitoring Metrics Publisher": "3913510d-42f4-4e42-8a64-420c390055eb",
    "Storage Blob Data Contributor": "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    "Storage Blob Data Owner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    "Storage Blob Data Reader": "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
    "Storage Queue Data Contributor": "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
    "Storage Table Data Contributor": "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
}


def _given(who: str) -> set[tuple[str, str]]:
    return {(grant["role"], grant["on"]) for grant in _GRANTS if grant["who"] == who}


def test_roles_are_azure_s() -> None:
    assert _TABLE["roles"] == _IDS
    assert {grant["role"] for grant in _GRANTS} == set(_IDS)


def test_nothing_is_granted_twice() -> None:
    assert len({(one["who"], one["role"], one["on"]) for one in _GRANTS}) == len(_GRANTS)


def test_the_function_may_what_it_does_and_no_more() -> None:
    assert _given("function") == {
        ("Storage Blob Data Owner", "host"),
        ("Storage Queue Data Contributor", "host"),
        ("Storage Table Data Contributor", "host"),
        ("Storage Blob Data Owner", "state"),
        ("Storage Blob Data Reader", "definitions"),
        ("Azure Service Bus Data Receiver", "queue"),
        ("Azure Service Bus Data Receiver", "subscription"),
        ("Azure Service Bus Data Sender", "outcomes"),
        ("Monitoring Metrics Publisher", "insights"),
        ("AzureML Data Scientist", "workspace"),
        ("AzureML Compute Operator", "workspace"),
        ("Storage Blob Data Contributor", "workspaceStorage"),
        ("Storage Blob Data Reader", "source"),
        ("Managed Identity Operator", "jobsIdentity"),
    }


def test_nobody_but_the_function_and_publishers_may_change_state() -> None:
    assert {grant["who"] for grant in _GRANTS if grant["on"] == "state"} == {
        "function",
        "publisher",
    }


def test_jobs_read_sources_and_never_see_state() -> None:
    assert _given("jobs") == {
        ("Storage Blob Data Reader", "source"),
        ("Storage Blob Data Contributor", "workspaceStorage"),
        ("AzureML Data Scientist", "workspace"),
    }


def test_every_remedy_names_a_role_that_is_granted() -> None:
    """What an error tells to give is what the deployment gives."""
    told = {
        text
        for name, text in vars(remedies).items()
        if name in ("WORKSPACE", "COMPUTES", "STATE", "LAKES", "MANIFESTS", "OUTCOMES")
    }
    assert len(told) == 6
    for text in told:
        named = [role for role in _IDS if role in text]
        assert named, text
        assert {role for role, _ in _given("function")} >= set(named), text


def test_each_place_is_the_scope_of_its_grants_once() -> None:
    applied: dict[str, tuple[str, str]] = {}
    for file in all_files():
        for name, declared in file.resources.items():
            if declared["type"] != "Microsoft.Authorization/roleAssignments":
                continue
            scope = file.resources[str(body(declared)["scope"])]
            assert scope["existing"], f"{file.name}: {name}"
            place = _place_of(file, name)
            assert place not in applied, place
            applied[place] = (scope["type"], file.name)

    assert applied.pop("place") == (
        "Microsoft.Storage/storageAccounts",
        "modules/roles-storage.bicep",
    )
    assert applied == _PLACES
    assert {grant["on"] for grant in _GRANTS} == set(_PLACES) | _ACCOUNTS


def _place_of(file: Bicep, assignment: str) -> str:
    """`place` for the module whose parameter says it."""
    line = next(
        line for line in file.text.splitlines() if line.startswith(f"resource {assignment} ")
    )
    found = re.search(r"for grant in filter\(grants, one => one\.on == '?(\w+)'?\)", line)
    assert found, line
    return found[1]


def test_accounts_get_what_they_are_in_the_table() -> None:
    uses = {
        module.params["place"]
        for file in all_files()
        for module in file.modules()
        if module.source == "modules/roles-storage.bicep"
    }

    assert uses == _ACCOUNTS
    allowed = read(INFRA / "modules/roles-storage.bicep").text
    assert all(f"'{place}'" in allowed for place in _ACCOUNTS)


def test_every_assignment_is_made_of_the_table_alone() -> None:
    """No role is written anywhere else, and each has one name for one scope, principal and role."""
    for file in all_files():
        assert not re.search(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", file.text), file.name
        assert "roleAssignments:" not in file.text, file.name
        for declared in file.resources.values():
            if declared["type"] == "Microsoft.Authorization/roleAssignments":
                assert set(body(declared)["properties"]) == {
                    "roleDefinitionId",
                    "principalId",
                    "principalType",
                }


def test_everybody_in_the_table_has_an_identity() -> None:
    main = read(INFRA / "main.bicep")

    assert set(main.tree["variables"]["principals"]["value"]) == {one["who"] for one in _GRANTS}


def test_the_page_shows_the_table() -> None:
    shown = page("docs/deploy.md").table("who", "role", "on", "why")

    assert [[codes(who)[0], role, codes(on)[0], why] for who, role, on, why in shown] == [
        [grant["who"], grant["role"], grant["on"], grant["why"]] for grant in _GRANTS
    ]
