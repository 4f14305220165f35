"""Questions that can be asked, read from text, and the shape of their answers."""

import re
from datetime import UTC, datetime
from urllib.parse import quote, unquote, urlsplit

from pydantic import AwareDatetime, Field

from shared.errors import EventInvalid, RequestInvalid
from shared.events import BLOB_CREATED, BlobPlace, Event, blob_subject
from shared.ledger import Reason
from shared.summaries import Shown, Waiting

_CONTAINER = re.compile(r"[a-z0-9$](?:-?[a-z0-9]){2,62}")
#: Azure's limit for a blob's name, whose every character may be written as twelve.
_PATH_LENGTH = 1_024
_TEXT_LENGTH = 12 * _PATH_LENGTH + 500
_ID_LENGTH = 2_048

#: Times around which decisions can be.
_FIRST, _LAST = datetime(1970, 1, 2, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


class Item(Shown):
    """What one trigger made, or would make, of what was asked about."""

    #: None when no trigger is concerned.
    trigger: str | None
    #: A run's state, or no_match, no_candidate, nothing_recorded, not_due, to_come,
    #: record_unreadable, no_subscription_covers_this.
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


class Explanation(Shown):
    """An answer for a person, and the same for a program."""

    question: str
    #: One sentence.
    summary: str
    #: Sentences, in order.
    lines: list[str]
    items: list[Item] = Field(default_factory=list)


def blob_place(text: str) -> BlobPlace:
    """The blob of an https address, or of account/container/path. Raises RequestInvalid."""
    text = text.strip()
    if len(text) > _TEXT_LENGTH:
        raise _no_blob("is too long for a blob's address")
    if "://" not in text:
        account, _, rest = text.partition("/")
        container, _, path = rest.partition("/")
        host = f"{account}.blob.core.windows.net"
    else:
        try:
            address = urlsplit(text)
        except ValueError:
            raise _no_blob("is no address") from None
        if address.scheme != "https":
            raise _no_blob("is not an https address")
        # What is behind the path may be a signature, which is nobody's business.
        host = address.netloc
        container, _, path = unquote(address.path.removeprefix("/")).partition("/")
    return _place(host, container, path)


def identity(text: str) -> str:
    """The id of a message or event. Raises RequestInvalid."""
    text = text.strip()
    if not text or len(text) > _ID_LENGTH or not _is_unicode(text):
        why = f"is not 1 to {_ID_LENGTH} characters of Unicode"
        raise RequestInvalid("This names no message", {"message": why})
    return text


def moment(at: datetime | None) -> datetime | None:
    """A time that is asked for; one without a zone is UTC. Raises RequestInvalid."""
    if at is None:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    if not _FIRST <= at <= _LAST:
        raise RequestInvalid("Nothing happened then", {"at": "is not within 1970 to 2200"})
    return at


def _place(host: str, container: str, path: str) -> BlobPlace:
    if not container or not path:
        raise _no_blob("names no blob; write account/container/path, or the blob's https address")
    if not _CONTAINER.fullmatch(container) or len(container) > 63:
        raise _no_blob("has no container's name where that should be")
    if len(path) > _PATH_LENGTH or not _is_unicode(path):
        raise _no_blob(f"has a path that is not up to {_PATH_LENGTH} characters of Unicode")
    try:
        # The same rules as for events: what they refuse no event can be about.
        place = Event.model_validate(
            {
                "id": "question",
                "source": "question",
                "type": BLOB_CREATED,
                "subject": blob_subject(container, path),
                "time": "1970-01-01T00:00:00Z",
                "data": {"url": f"https://{host}/{quote(f'{container}/{path}')}"},
            }
        ).blob
    except (EventInvalid, ValueError):
        raise _no_blob(
            "is no address of a blob in Azure, or has '.' or '..' as a part of its path"
        ) from None
    assert place
    return place


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _no_blob(why: str) -> RequestInvalid:
    return RequestInvalid("This names no blob", {"blob": why})
