"""What is told when Service Bus refuses: the place, why, and the remedy."""

from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from azure.servicebus.exceptions import (
    MessageSizeExceededError,
    MessagingEntityDisabledError,
    MessagingEntityNotFoundError,
    ServiceBusAuthenticationError,
    ServiceBusAuthorizationError,
    ServiceBusCommunicationError,
    ServiceBusConnectionError,
    ServiceBusError,
    ServiceBusQuotaExceededError,
    ServiceBusServerBusyError,
)

from shared import roles
from shared.service_bus import Entity, ServiceBus

QUEUE = Entity(what="queue 'orders'", setting="SIGNALBOX_EVENTS_QUEUE", role=roles.MESSAGES)


class Anonymous:
    """Never asked."""

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        raise AssertionError(scopes)


BY_IDENTITY = ServiceBus(credential=Anonymous(), namespace="contoso.servicebus.windows.net")
BY_KEY = ServiceBus(credential=Anonymous(), connection="Endpoint=sb://contoso")


def cbs(status: int, description: str) -> Exception:
    """A token that the broker refuses, as the SDK wraps it: only the inner error says why."""
    inner = Exception(
        f"CBS Token authentication failed.\nStatus code: {status}\nDescription: {description}"
    )
    return ServiceBusAuthenticationError(error=inner)


NO_ROLE = ServiceBusAuthorizationError(
    message="Unauthorized access. 'Listen' claim(s) are required to perform this operation."
)


@pytest.mark.parametrize("error", [NO_ROLE, cbs(401, "claim is empty or token is invalid.")])
def test_without_a_role_the_role_is_told(error: Exception) -> None:
    told = BY_IDENTITY.refusal(error, QUEUE)

    assert told == (
        "Service Bus contoso.servicebus.windows.net does not let the app in to queue 'orders'. "
        "Give this identity the role Azure Service Bus Data Receiver on the queue and on the "
        "subscription. A new role takes some minutes to hold."
    )


def test_who_comes_with_a_key_is_told_of_the_key_s_rights() -> None:
    told = BY_KEY.refusal(NO_ROLE, QUEUE)

    assert "the right to listen" in told
    assert "role" not in told


@pytest.mark.parametrize(
    "error",
    [MessagingEntityNotFoundError(), cbs(404, "The messaging entity 'sb://x' could not be found.")],
)
def test_what_is_not_there_is_no_question_of_roles(error: Exception) -> None:
    told = BY_IDENTITY.refusal(error, QUEUE)

    assert "has no queue 'orders'" in told
    assert "correct the app setting SIGNALBOX_EVENTS_QUEUE" in told
    assert "role" not in told
    assert not BY_IDENTITY.is_away(error)


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (ServiceBusConnectionError(), "port 5671"),
        (ServiceBusCommunicationError(), "port 5671"),
        (OSError("Name or service not known"), "port 5671"),
        (cbs(401, "Ip has been prevented to connect to the endpoint."), "networking"),
        (ClientAuthenticationError("no way to sign in"), "AZURE_CLIENT_ID"),
    ],
)
def test_what_holds_for_the_whole_namespace_is_told_once(error: Exception, remedy: str) -> None:
    told = BY_IDENTITY.refusal(error, QUEUE)

    assert remedy in told
    assert "contoso.servicebus.windows.net" in told
    assert BY_IDENTITY.is_away(error)


def test_the_setting_that_is_named_is_the_one_in_use() -> None:
    away = ServiceBusConnectionError()

    assert "ServiceBusConnection__fullyQualifiedNamespace" in BY_IDENTITY.refusal(away, QUEUE)
    assert "app setting ServiceBusConnection right" in BY_KEY.refusal(away, QUEUE)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MessagingEntityDisabledError(), "disabled. Set its status to Active."),
        (ServiceBusQuotaExceededError(), "which is full"),
        (ServiceBusServerBusyError(message="busy now"), "refused queue 'orders': busy now."),
        (MessageSizeExceededError(), "refused queue 'orders': Message content is larger"),
        (ServiceBusError("something else"), "refused queue 'orders': something else."),
    ],
)
def test_what_is_wrong_with_one_entity_is_told_of_it(error: Exception, told: str) -> None:
    assert told in BY_IDENTITY.refusal(error, QUEUE)
    assert not BY_IDENTITY.is_away(error)


def test_no_secret_is_told_and_no_novel() -> None:
    error = ServiceBusError("SharedAccessKey=c2VjcmV0c2VjcmV0c2VjcmV0; " + "word " * 1000)
    told = BY_IDENTITY.refusal(error, QUEUE)

    assert "c2Vj" not in told
    assert len(told) < 500
