"""What is asked of Service Bus, and what is said when it does not let the app in."""

import socket
from typing import Any

import pytest
from azure.core.credentials import AccessToken

from shared.broker import Broker
from shared.errors import MessagingUnavailable
from shared.settings import load
from tests.unit.test_bootstrap import ENVIRONMENT


class Anonymous:
    """Never asked."""

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        raise AssertionError(scopes)


def broker(**settings: str) -> Broker:
    return Broker(load({**ENVIRONMENT, **settings}), Anonymous())


def test_without_a_broker_there_is_nothing_to_ask() -> None:
    assert broker().look() == "No Service Bus is configured."


@pytest.mark.parametrize("connection", ["x", "Endpoint=nowhere", "SharedAccessKey=c2VjcmV0c2Vj"])
def test_a_connection_that_is_none_is_no_more_than_that(connection: str) -> None:
    with pytest.raises(MessagingUnavailable, match="Service Bus cannot be reached") as caught:
        broker(ServiceBusConnection=connection).look()
    assert "c2Vj" not in str(caught.value)


def test_a_broker_that_is_not_there_is_told_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    connection = (
        f"Endpoint=sb://127.0.0.1:{port};SharedAccessKeyName=x;SharedAccessKey=y;"
        "UseDevelopmentEmulator=true;"
    )
    with pytest.raises(MessagingUnavailable, match="Service Bus cannot be reached"):
        broker(ServiceBusConnection=connection).look()
