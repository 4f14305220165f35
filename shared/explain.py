"""Why did it run, or why not: the answer in sentences, from what was recorded and what is there."""

from collections.abc import Mapping
from datetime import datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from shared.history import History
from shared.index import Index
from shared.lakes import Lakes
from shared.ledger import Ledger, Reason
from shared.orders import Orders
from shared.runs import Runs
from shared.summaries import Waiting


class Item(BaseModel):
    """What one trigger made, or would make, of what was asked about."""

    model_config = ConfigDict(frozen=True)

    #: None when no trigger is concerned.
    trigger: str | None
    #: A run's state, or no_match, would_run, no_candidate, nothing_recorded,
    #: no_subscription_covers_this.
    decision: str
    #: What was asked and answered yes, in order.
    passed: list[str] = Field(default_factory=list)
    #: The check that said no.
    check: str | None = None
    run: str | None = None
    state: str | None = None
    reason: Reason | None = None
    waiting_for: Waiting | None = None
    #: When it was decided; storage time, or the event's own for what was filtered.
    at: AwareDatetime | None = None


class Explanation(BaseModel):
    """An answer for a person, and the same for a program."""

    model_config = ConfigDict(frozen=True)

    question: str
    #: One sentence.
    summary: str
    #: Sentences, in order.
    lines: list[str]
    items: list[Item] = Field(default_factory=list)


class Explain:
    """Answers questions about uploads, messages, runs and triggers. Changes nothing.

    All raise StorageUnavailable, and RequestInvalid for a question that cannot be read.
    """

    def __init__(
        self,
        *,
        index: Index,
        orders: Orders,
        ledger: Ledger,
        history: History,
        runs: Runs,
        lakes: Lakes,
        variables: Mapping[str, str],
    ) -> None:
        self._index = index
        self._orders = orders
        self._ledger = ledger
        self._history = history
        self._runs = runs
        self._lakes = lakes
        self._variables = variables

    def blob(self, text: str) -> Explanation:
        """An upload: its https address, with or without a signature, or account/container/path."""
        raise NotImplementedError

    def message(self, id: str) -> Explanation:
        """A message or event: its message id, its sequence number, or its CloudEvent id."""
        raise NotImplementedError

    def run(self, id: str) -> Explanation:
        """A run from its event until now. Raises NotFound."""
        raise NotImplementedError

    def trigger(self, name: str, at: datetime | None = None) -> Explanation:
        """What a trigger decided lately, or around a time. Raises NotFound."""
        raise NotImplementedError
