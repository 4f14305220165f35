"""Links as they are asked for: what each is for, and whether the client can have it."""

from typing import Any, Protocol

from emulator.service_bus.codec import Described, MalformedError
from emulator.service_bus.deliveries import accepted, rejected
from emulator.service_bus.errors import (
    DECODE_ERROR,
    INVALID_FIELD,
    NOT_FOUND,
    UNAUTHORIZED,
    AmqpError,
    not_implemented,
)
from emulator.service_bus.faults import Faults
from emulator.service_bus.links import Channel, IncomingLink, Link, ReceiverLink, ResponseLink
from emulator.service_bus.management import manage, put_token
from emulator.service_bus.messages import Message, read_messages
from emulator.service_bus.nodes import MANAGEMENT, Node, Nodes, path_of
from emulator.service_bus.performatives import (
    COORDINATOR,
    SENDER,
    SOURCE,
    TARGET,
    Attach,
    composite,
)

CBS = "$cbs"
_SESSION_FILTER = "com.microsoft:session-filter"


class Client(Protocol):
    """Whom links are opened for, and on what."""

    nodes: Nodes
    faults: Faults
    #: paths that the client has shown a token for; "" is the whole namespace
    authorized: set[str]


class Attachments:
    """Opens the links of one session."""

    def __init__(self, channel: Channel, client: Client) -> None:
        self._channel = channel
        self._client = client
        self._responses: dict[str, ResponseLink] = {}

    def forget(self, link: Link) -> None:
        """A link is gone."""
        for path in [path for path, response in self._responses.items() if response is link]:
            del self._responses[path]

    def open(self, attach: Attach) -> Link:
        """The broker's end of a link; AmqpError when the client cannot have it."""
        if composite(attach.target, COORDINATOR) is not None:
            raise not_implemented("transactions")
        if attach.role == SENDER:
            return self._open_incoming(attach)
        source = composite(attach.source, SOURCE) or []
        if len(source) > 7 and isinstance(source[7], dict) and _SESSION_FILTER in source[7]:
            raise not_implemented("sessions")
        path = path_of(_address(source))
        if path == CBS:
            return self._open_response(path, attach)
        path, is_management = _split_management(path)
        node = self._authorized(path)
        if is_management:
            return self._open_response(f"{node.path}/{MANAGEMENT}", attach)
        node.queue.advance()
        return ReceiverLink(self._channel, attach, node)

    def _open_response(self, path: str, attach: Attach) -> ResponseLink:
        link = ResponseLink(self._channel, attach)
        self._responses[path] = link
        return link

    def _open_incoming(self, attach: Attach) -> IncomingLink:
        path = path_of(_address(composite(attach.target, TARGET) or []))
        if path == CBS:
            return IncomingLink(
                self._channel, attach, lambda _, data: self._request(CBS, None, data)
            )
        path, is_management = _split_management(path)
        node = self._authorized(path)
        if is_management:
            name = f"{node.path}/{MANAGEMENT}"
            return IncomingLink(
                self._channel, attach, lambda _, data: self._request(name, node, data)
            )
        node.check_sendable()
        return IncomingLink(
            self._channel, attach, lambda form, data: self._enqueue(node, form, data)
        )

    def _authorized(self, path: str) -> Node:
        self._client.faults.check_link()
        node = self._client.nodes.find(path)
        allowed = self._client.authorized
        if not any(node.path == p or not p or node.path.startswith(f"{p}/") for p in allowed):
            raise AmqpError(UNAUTHORIZED, f"no token was put for {node.path}")
        return node

    def _enqueue(self, node: Node, message_format: int, data: bytes) -> Described:
        try:
            self._client.faults.check_send()
            messages = read_messages(message_format, data)
        except MalformedError as error:
            return rejected(AmqpError(DECODE_ERROR, str(error)))
        except AmqpError as error:
            return rejected(error)
        for message in messages:
            node.send(message)
        self._client.nodes.dispatch()
        return accepted()

    def _request(self, path: str, node: Node | None, data: bytes) -> Described:
        """Answer a request on the response link of the same address."""
        try:
            request = Message.read(data)
            if path not in self._responses:
                raise AmqpError(NOT_FOUND, f"there is no link for the answers of {path}")
        except MalformedError as error:
            return rejected(AmqpError(DECODE_ERROR, str(error)))
        except AmqpError as error:
            return rejected(error)
        if node is None:
            answer = put_token(self._client.nodes, self._client.authorized.add, request)
        else:
            answer = manage(node, request)
        self._responses[path].answer(answer)
        self._client.nodes.dispatch()
        return accepted()


def _address(terminus: list[Any]) -> str:
    address = terminus[0] if terminus else None
    if not isinstance(address, str):
        raise AmqpError(INVALID_FIELD, f"a link has the address {address!r}")
    return address


def _split_management(path: str) -> tuple[str, bool]:
    entity, _, last = path.rpartition("/")
    return (entity, True) if last == MANAGEMENT else (path, False)
