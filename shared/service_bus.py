"""Service Bus: how a client of it is made, and what is told when it refuses."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from azure.core.credentials import TokenCredential
from azure.core.exceptions import ClientAuthenticationError

from shared import roles
from shared.inputs import redacted

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusClient

#: Seconds that opening and signing in may take.
_TIMEOUT = 5.0
#: Characters of what Service Bus says that are told.
_SAID = 300

#: The broker's answer to a token for what does not exist. Source: azure-service-bus issue 304.
_NOT_THERE = "Status code: 404"
#: What a namespace that is closed to an address says. Source: Service Bus, network security.
_CLOSED = ("prevented to connect", "not allowed to access")

_NAMESPACE = "ServiceBusConnection__fullyQualifiedNamespace"


@dataclass(frozen=True, kw_only=True)
class Entity:
    """Something in a namespace that the app needs."""

    #: What it is and its name: queue 'signalbox-events'.
    what: str
    #: The app setting that names it.
    setting: str
    #: What using it takes.
    role: str


def topic_for_outcomes(name: str) -> Entity:
    return Entity(what=f"topic {name!r}", setting="SIGNALBOX_OUTCOMES_TOPIC", role=roles.OUTCOMES)


@dataclass(frozen=True, kw_only=True)
class ServiceBus:
    """A namespace: by its name and the app's identity, or by a connection string."""

    credential: TokenCredential
    namespace: str | None = None
    connection: str | None = None

    def client(self) -> "ServiceBusClient":
        """A client that tells of the first failure. Raises ValueError for what is no address."""
        from azure.servicebus import ServiceBusClient

        options: dict[str, Any] = {"retry_total": 0, "auth_timeout": _TIMEOUT}
        if self.connection:
            return ServiceBusClient.from_connection_string(self.connection, **options)
        return ServiceBusClient(str(self.namespace), self.credential, **options)

    def is_away(self, error: Exception) -> bool:
        """Whether nothing of the namespace can be used: what is wrong is not one entity."""
        from azure.servicebus.exceptions import ServiceBusError

        if not isinstance(error, ServiceBusError):
            return True
        return _is_closed(_whole(error)) or _is_unreachable(error)

    def refusal(self, error: Exception, entity: Entity) -> str:
        """Why an entity cannot be used, where, and what to do about it; it has no secret."""
        from azure.servicebus.exceptions import (
            MessagingEntityDisabledError,
            MessagingEntityNotFoundError,
            ServiceBusAuthenticationError,
            ServiceBusAuthorizationError,
            ServiceBusQuotaExceededError,
        )

        here, what = f"Service Bus{self._named}", entity.what
        if isinstance(error, ClientAuthenticationError):
            return f"Could not sign in to {here} for {what}: {roles.sign_in(error)}"
        said, whole = _cut(_line(str(error))), _whole(error)
        if isinstance(error, MessagingEntityNotFoundError) or _NOT_THERE in whole:
            return f"{here} has no {what}. Create it, or correct the app setting {entity.setting}."
        if _is_closed(whole):
            return (
                f"{here} lets nobody in from the app's address, so {what} is out of reach. Let the "
                "app's subnet in, in the namespace's networking, or use a private endpoint."
            )
        if isinstance(error, ServiceBusAuthenticationError | ServiceBusAuthorizationError):
            remedy = (
                "Its key needs the right to listen, and to send to the topic for outcomes."
                if self.connection
                else roles.give(entity.role)
            )
            return f"{here} does not let the app in to {what}. {remedy}"
        if isinstance(error, MessagingEntityDisabledError):
            return f"{here} has {what} disabled. Set its status to Active."
        if isinstance(error, ServiceBusQuotaExceededError):
            return (
                f"{here} takes no more for {what}, which is full: receive what lies there (a "
                f"subscription that nobody reads counts), or make it larger. It said: {said}"
            )
        if _is_unreachable(error):
            source = "ServiceBusConnection" if self.connection else _NAMESPACE
            return (
                f"{here} cannot be reached for {what}: {said} Is the app setting {source} "
                "right, and does the network let the app out to its port 5671?"
            )
        return f"{here} refused {what}: {said}"

    @property
    def _named(self) -> str:
        return f" {self.namespace}" if self.namespace and not self.connection else ""


def _is_closed(said: str) -> bool:
    return any(closed in said for closed in _CLOSED)


def _is_unreachable(error: Exception) -> bool:
    from azure.servicebus.exceptions import (
        ServiceBusCommunicationError,
        ServiceBusConnectionError,
        ServiceBusError,
    )

    if isinstance(error, ServiceBusError):
        return isinstance(error, ServiceBusCommunicationError | ServiceBusConnectionError)
    return isinstance(error, OSError | ValueError)


def _whole(error: Exception) -> str:
    # Why a link is refused as it opens is only in what the SDK itself was told.
    return f"{error} {getattr(error, 'inner_exception', None) or ''}"


def _line(text: str) -> str:
    return " ".join(redacted(text).split()).rstrip(".") + "."


def _cut(said: str) -> str:
    return said if len(said) <= _SAID else f"{said[:_SAID]}…"
