"""The states of a run, as AzureML spells them, and the declared ways from one to another."""

from collections.abc import Mapping
from enum import StrEnum


class Status(StrEnum):
    NOT_STARTED = "NotStarted"
    QUEUED = "Queued"
    PREPARING = "Preparing"
    RUNNING = "Running"
    FINALIZING = "Finalizing"
    CANCEL_REQUESTED = "CancelRequested"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELED = "Canceled"

    @property
    def is_final(self) -> bool:
        return not TRANSITIONS[self]


_STOPS = frozenset({Status.FAILED, Status.CANCEL_REQUESTED, Status.CANCELED})

TRANSITIONS: Mapping[Status, frozenset[Status]] = {
    # a step that is reused is over before it has begun
    Status.NOT_STARTED: frozenset({Status.QUEUED, Status.PREPARING, Status.COMPLETED}) | _STOPS,
    Status.QUEUED: frozenset({Status.PREPARING}) | _STOPS,
    Status.PREPARING: frozenset({Status.RUNNING}) | _STOPS,
    Status.RUNNING: frozenset({Status.FINALIZING, Status.COMPLETED}) | _STOPS,
    Status.FINALIZING: frozenset({Status.COMPLETED}) | _STOPS,
    # a run that ends while its cancellation is on the way keeps its own end
    Status.CANCEL_REQUESTED: frozenset({Status.CANCELED, Status.COMPLETED, Status.FAILED}),
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELED: frozenset(),
}
