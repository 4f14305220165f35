"""What can go wrong, in two families.

SignalboxError
├── Permanent            the same input can never succeed: say so, do not try again
│   ├── SettingsInvalid      app settings are missing or malformed
│   ├── DefinitionsInvalid   documents with errors, all of them at once
│   ├── PruneRefused         what would be removed is all there is, or is still named
│   ├── EventInvalid         what arrived is not an event this app understands
│   ├── ExpressionInvalid    an expression that cannot be read, or that cannot be worked out
│   │   └── NothingFound         one that found nothing in the event
│   ├── RecordUnreadable     a blob of ours that a newer or foreign writer left
│   ├── RequestInvalid       what a client asked for is wrong, all of it at once
│   ├── NotFound             a client asked for something that is not there
│   ├── Conflict             it is there, but not in a state for what was asked
│   ├── JobRejected          AzureML refused the job for good
│   └── JobExists            AzureML has a job of that name: proof of existence, never a failure
└── Transient            the same call may succeed later
    ├── StorageUnavailable
    ├── MessagingUnavailable
    └── WorkspaceUnavailable
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

#: Names that one list in a sentence says.
LISTED = 20


class SignalboxError(Exception):
    """Base of every error Signalbox raises on purpose; its text is written for the user."""


class Permanent(SignalboxError):
    """The same input can never succeed."""


class Transient(SignalboxError):
    """The same call may succeed later."""


class SettingsInvalid(Permanent):
    """App settings are missing or malformed; the text names each and its remedy."""


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong in a document."""

    #: Path of the document as the user gave it.
    file: str
    #: 1-based; 0 when the place is the document as a whole.
    line: int
    #: What is wrong and what to do about it.
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.message}"


class DefinitionsInvalid(Permanent):
    """Documents have errors; nothing of them was published."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(set(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class PruneRefused(Permanent):
    """What would be removed is all there is, or is still named; nothing was."""


class EventInvalid(Permanent):
    """What arrived is not an event this app understands."""


class ExpressionInvalid(Permanent):
    """An expression that cannot be read, or that cannot be worked out for the event."""


class NothingFound(ExpressionInvalid):
    """An expression that found nothing in the event, or null."""


class RecordUnreadable(Permanent):
    """A state blob does not hold what its owner writes there."""


class RequestInvalid(Permanent):
    """What a client asked for is wrong; nothing of it was done."""

    def __init__(self, message: str, problems: Mapping[str, str]) -> None:
        #: Place -> what is wrong there.
        self.problems = dict(problems)
        super().__init__(message)


class NotFound(Permanent):
    """There is no such thing; the text says what there is."""


class Conflict(Permanent):
    """It is there, but not in a state for what was asked."""


class JobRejected(Permanent):
    """AzureML refused the request in a way that repeating cannot change."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(f"AzureML refused it ({code}): {message}")


class JobExists(Permanent):
    """AzureML already has what was to be created."""

    def __init__(self, what: str) -> None:
        super().__init__(f"AzureML already has {what}")


class StorageUnavailable(Transient):
    """Blob storage did not answer, or answered that it cannot now."""


class MessagingUnavailable(Transient):
    """Service Bus did not answer, or answered that it cannot now."""


class WorkspaceUnavailable(Transient):
    """AzureML did not answer, throttled, or failed on its side."""

    def __init__(
        self, message: str, retry_after: float | None = None, *, refused: bool = False
    ) -> None:
        super().__init__(message)
        #: Seconds the service asked us to wait, when it said so.
        self.retry_after = retry_after
        #: It did nothing, for certain: of a 5xx or a lost answer nobody knows.
        self.refused = refused


def listed(names: Iterable[str]) -> str:
    """Names within a sentence, in their order: not all of them when there are many."""
    first = list(names)
    more = len(first) - LISTED
    return ", ".join(first[:LISTED]) + (f" and {more} more" if more > 0 else "") or "none"


def places(error: ValidationError) -> str:
    """How much is wrong and where, without what is there: it goes into logs."""
    wrong = [".".join(map(str, item["loc"])) or "the whole" for item in error.errors()]
    count = f"{len(wrong)} error{'s' if len(wrong) > 1 else ''}"
    return f"{count}, at {listed(dict.fromkeys(place[:100] for place in wrong))}"
