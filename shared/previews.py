"""Dry runs: what a trigger would make of an event, with everything that binding says. Pure look."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.events import Event
from shared.index import Index
from shared.lakes import Lakes
from shared.ledger import Ledger
from shared.orders import Orders
from shared.summaries import EventBrief


class Place(BaseModel):
    """One thing that is wrong, and where."""

    model_config = ConfigDict(frozen=True)

    place: str
    message: str


class Preview(BaseModel):
    """What one trigger would make of one event."""

    model_config = ConfigDict(frozen=True)

    event: EventBrief
    decision: Literal["would_run", "no_match", "would_be_dead_letter", "duplicate"]
    #: What was asked and answered yes, in order.
    passed: list[str] = Field(default_factory=list)
    #: The check that said no.
    check: str | None = None
    captures: dict[str, str] = Field(default_factory=dict)
    #: `name@version`.
    pipeline: str | None = None
    #: Values as a job gets them; data as its path.
    inputs: dict[str, Any] | None = None
    experiment_name: str | None = None
    tags: dict[str, str] = Field(default_factory=dict)
    compute: str | None = None
    problems: list[Place] = Field(default_factory=list)
    #: The run that it would be, or is already.
    run: str | None = None


class Previews:
    """Asks triggers without consequences: nothing is written, not even history."""

    def __init__(
        self,
        *,
        index: Index,
        orders: Orders,
        ledger: Ledger,
        lakes: Lakes,
        variables: Mapping[str, str],
    ) -> None:
        self._index = index
        self._orders = orders
        self._ledger = ledger
        self._lakes = lakes
        self._variables = variables

    def against(self, trigger: str, event: Event) -> Preview:
        """What a trigger would make of an event that came to it.

        Raises NotFound, StorageUnavailable, EventInvalid.
        """
        raise NotImplementedError

    def against_blobs(self, trigger: str, limit: int = 20, prefix: str = "") -> list[Preview]:
        """What a blob trigger would make of blobs that lie there now, by name.

        Those under its pattern's literal text, or under `prefix`. Raises NotFound,
        RequestInvalid when it is not for blobs or the limit is not 1 to 200, StorageUnavailable.
        """
        raise NotImplementedError
