"""What a test can make go wrong."""

from pydantic import BaseModel, ConfigDict, Field

from emulator.service_bus.errors import SERVER_BUSY, AmqpError


class FaultRequest(BaseModel):
    """The body of POST /service_bus/faults."""

    model_config = ConfigDict(extra="forbid")

    #: end every connection now, without a word
    cut_connections: bool = False
    #: refuse this many of the next messages or batches that are sent
    refuse_sends: int = Field(default=0, ge=0)
    #: refuse this many of the next links to queues, topics and subscriptions
    refuse_links: int = Field(default=0, ge=0)
    #: the error condition of the refusals
    condition: str = SERVER_BUSY
    description: str = "The local Service Bus was told to refuse this."


class Faults:
    """The refusals that are still to come."""

    def __init__(self) -> None:
        self._left = 0
        self._links = 0
        self._error = AmqpError(SERVER_BUSY, "")

    def plan(self, request: FaultRequest) -> None:
        self._left = request.refuse_sends
        self._links = request.refuse_links
        self._error = AmqpError(request.condition, request.description)

    def check_send(self) -> None:
        """AmqpError when this is one to refuse."""
        if self._left:
            self._left -= 1
            raise self._error

    def check_link(self) -> None:
        """AmqpError when this is one to refuse."""
        if self._links:
            self._links -= 1
            raise self._error
