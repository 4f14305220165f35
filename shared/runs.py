"""Reading runs: a list of them, one of them with its steps, what a trigger decided."""

from datetime import datetime
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict

from shared.history import History
from shared.index import Index
from shared.ledger import Ledger, Reason, State, Transition
from shared.workspace import Workspace

#: The most that one page holds.
MAX_PAGE = 200


class _Shown(BaseModel):
    model_config = ConfigDict(frozen=True)


class EventBrief(_Shown):
    """What happened, without its data."""

    id: str
    source: str
    type: str
    subject: str
    time: AwareDatetime


class Waiting(_Shown):
    """What a run waits for, in words."""

    text: str
    #: When it is looked at again or given up, where that is known; storage time.
    until: AwareDatetime | None = None


class RunSummary(_Shown):
    """A run on one line."""

    id: str
    trigger: str
    #: `name@version`; None when no pipeline was found for it.
    pipeline: str | None
    state: State
    reason: Reason | None
    #: The name of its AzureML job, also when it never came to be.
    job: str | None
    #: Where a person looks at the job; None when AzureML never had one.
    studio_url: str | None
    event: EventBrief
    created_at: AwareDatetime
    ended_at: AwareDatetime | None
    #: 0 when no job could be made of the event.
    attempt: int
    cancel_requested: bool
    #: The run that this one tries again.
    replay_of: str | None
    #: How many runs came before it, each started by the end of the one before.
    depth: int


class StepNow(_Shown):
    """A step as AzureML shows it now."""

    name: str
    job: str
    status: str


class FailedStep(_Shown):
    """A step that failed, and the end of what it printed."""

    step: str
    job: str
    log_tail: str


class RunDetail(RunSummary):
    """All that is known of a run."""

    #: Values as the job has them; data as its path.
    inputs: dict[str, Any]
    #: Where the job wrote its outputs.
    outputs: dict[str, str]
    experiment_name: str | None
    tags: dict[str, str]
    transitions: list[Transition]
    #: None when there is no job yet, or when AzureML cannot be asked: then `steps_error` says why.
    steps: list[StepNow] | None
    steps_error: str | None = None
    failed_steps: list[FailedStep]
    waiting_for: Waiting | None
    #: With its data and extension attributes.
    event: Any


class RunPage(_Shown):
    """Some runs, and where to go on."""

    items: list[RunSummary]
    #: Hand it back for what follows; None when nothing does. A page may be short, or even empty,
    #: and yet have one: so many were looked at that did not fit the question.
    cursor: str | None = None


class Decided(_Shown):
    """A final decision of a trigger, as history has it."""

    trigger: str
    key: str
    at: AwareDatetime
    #: A run's final state, or `no_match`.
    decision: str
    #: The check that said no.
    check: str | None = None
    #: None for an event that was filtered.
    run: RunSummary | None = None
    event: EventBrief


class Runs:
    """Reads what the ledger and history have of runs."""

    def __init__(
        self, *, ledger: Ledger, history: History, workspace: Workspace, index: Index
    ) -> None:
        self._ledger = ledger
        self._history = history
        self._workspace = workspace
        self._index = index

    def get(self, run_id: str) -> RunDetail:
        """One run. Raises NotFound, StorageUnavailable, RecordUnreadable."""
        raise NotImplementedError

    def decisions(self, trigger: str, at: datetime | None = None, limit: int = 20) -> list[Decided]:
        """What a trigger decided, newest first: lately, or around a time.

        Raises StorageUnavailable.
        """
        raise NotImplementedError

    def list(
        self,
        *,
        trigger: str | None = None,
        state: str | None = None,
        pipeline: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> RunPage:
        """Runs: those that are open by name, then those that are over, newest first.

        `pipeline` is a name, or name@version. Raises RequestInvalid, NotFound for a trigger that
        never was, StorageUnavailable.
        """
        raise NotImplementedError
