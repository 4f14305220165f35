"""The operations on computes: where each may begin, and the states it leads through."""

from collections.abc import Mapping
from dataclasses import dataclass

#: What a cluster, which has no power switch, is said to be in.
STEADY = "Steady"


@dataclass(frozen=True)
class Operation:
    """One long-running operation, as the service names its states."""

    #: `provisioningState` while it lasts.
    provisioning: str
    #: `state` of an instance while it lasts, when it has succeeded, and when it has failed;
    #: empty where it stays as it is.
    during: str
    after: str
    failed: str
    #: States of an instance in which it may begin; elsewhere it is a conflict.
    begins: frozenset[str] = frozenset()
    #: States in which there is nothing to do.
    nothing_to_do: frozenset[str] = frozenset()


OPERATIONS: Mapping[str, Operation] = {
    "Create": Operation("Creating", "Creating", "Running", "CreateFailed"),
    "Update": Operation("Updating", "", "", ""),
    "Start": Operation(
        "Succeeded",
        "Starting",
        "Running",
        "Stopped",
        frozenset({"Stopped"}),
        frozenset({"Running"}),
    ),
    "Stop": Operation(
        "Succeeded",
        "Stopping",
        "Stopped",
        "Running",
        frozenset({"Running"}),
        frozenset({"Stopped"}),
    ),
    "Restart": Operation(
        "Succeeded", "Restarting", "Running", "Stopped", frozenset({"Running", "Stopped"})
    ),
    "Delete": Operation("Deleting", "Deleting", "", ""),
}
