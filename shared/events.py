"""What happened, as CloudEvents 1.0 has it: id, source, type, subject, time and data.

Every source is turned into this one shape before anything is decided.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Self
from urllib.parse import unquote, urlsplit

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from shared.errors import EventInvalid

BLOB_CREATED = "Microsoft.Storage.BlobCreated"
#: A Service Bus message that holds no event: it is one itself.
MESSAGE = "Microsoft.ServiceBus.Message"

#: Many events that one run is for: Signalbox's own.
BATCH_TYPE = "signalbox.batch"

#: A time of a trigger's schedule came: Signalbox's own.
DUE_TYPE = "signalbox.schedule.due"
#: Somebody asked for it to run now.
PROMPTED_TYPE = "signalbox.schedule.prompted"

#: How an event came in, where that matters: `via` begins so.
QUEUE, TOPIC, HTTP, RUN, MANUAL = "queue/", "topic/", "http/", "run/", "manual/"
BATCH, SCHEDULE = "batch/", "schedule/"

#: Blob and Data Lake endpoints of Azure's clouds, also those in DNS zones.
_BLOB_HOST = re.compile(
    r"([a-z0-9]{3,24})(?:\.z\d+)?\.(?:blob|dfs)\."
    r"(?:core\.windows\.net|core\.chinacloudapi\.cn|core\.usgovcloudapi\.net|storage\.azure\.net)"
)

_BLOB_SUBJECT = re.compile(r"/blobServices/default/containers/([^/]+)/blobs/(.+)", re.DOTALL)

Text = Annotated[str, Field(min_length=1, max_length=2048)]


#: What an event keeps once it was asked for.
_LOOKED_AT_ONCE = ("blob", "content")


class Event(BaseModel):
    """One thing that happened. Extension attributes are kept beside the declared ones."""

    model_config = ConfigDict(frozen=True, extra="allow")

    id: Text
    source: Text
    type: Text
    subject: Annotated[str, Field(max_length=2048)] = ""
    time: AwareDatetime
    #: Any JSON value.
    data: Any = None
    #: The way it came in, as far as triggers ask for it: `queue/<name>`, `topic/<name>/<sub>`,
    #: `http/<trigger>`, `run/<pipeline>`, `manual/<pipeline>`, `batch/<trigger>`,
    #: `schedule/<trigger>`. Never what a sender says.
    via: str = ""

    @cached_property
    def blob(self) -> "BlobPlace | None":
        """The blob this event is about, when it is about one."""
        return _blob_place(self) if self.type == BLOB_CREATED else None

    @cached_property
    def content(self) -> dict[str, Any]:
        """All of it as JSON, as expressions find it; for reading only."""
        return self.model_dump(mode="json")

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy, which looks at itself anew."""
        copied = super().model_copy(update=update, deep=deep)
        for name in _LOOKED_AT_ONCE:
            copied.__dict__.pop(name, None)
        return copied

    @property
    def etag(self) -> str:
        """What tells one upload to a place from the next; "" when it is about no blob."""
        found = self.data.get("eTag") if isinstance(self.data, dict) else None
        # HTTP writes it in quotes, Event Grid without, some of its samples with.
        return str(found or "").strip('"')

    @property
    def title(self) -> str:
        """What a person knows it by, on one line: its blob, or its own subject or id."""
        place = self.blob
        text = f"{place.container}/{place.path}" if place else self.subject or self.id
        # A name with a line end in it must not look like a log line of its own.
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)[:300]

    @property
    def about(self) -> str:
        """What a person asks for it by, as a short digest: blob, message id, or its own id."""
        text = self.subject if self.type == BLOB_CREATED else self.message_id or self.id
        return about(text)

    @property
    def message_id(self) -> str | None:
        """The id its sender gave the message that it came in."""
        found = (self.model_extra or {}).get("messageid")
        return str(found) if found is not None else None

    def attribute(self, name: str) -> str | None:
        """A context attribute as text, for filters; None when it has none of that name."""
        if name in ("id", "source", "type", "subject", "via"):
            return str(getattr(self, name))
        if name == "time":
            return self.time.isoformat()
        found = (self.model_extra or {}).get(name)
        if isinstance(found, bool):
            # Source: CloudEvents 1.0.2, type system.
            return str(found).lower()
        return str(found) if isinstance(found, str | int) else None

    def dedupe_key(self, *, by_message_id: bool = False) -> str:
        """What two deliveries of the same happening have in common.

        Event Grid may give one write two ids, so a blob is known by its place and its content's
        ETag; anything else by source and id. Senders reuse message ids, so these only count
        where a trigger asks for it, and only for what is no event by itself: one message may
        hold many of those.
        """
        if place := self.blob:
            parts = ["blob", place.account, place.container, place.path, self.etag]
        elif self.via.startswith(RUN):
            # Nobody else's event may stand in for the end of a run.
            parts = ["run", self.id]
        elif self.via.startswith(SCHEDULE):
            # Nor for a time that came: the trigger, and the second of it in UTC.
            parts = ["schedule", self.via, self.id]
        elif by_message_id and self.message_id is not None and self.type == MESSAGE:
            parts = ["message", self.via, self.message_id]
        else:
            parts = ["event", self.source, self.id]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class BlobPlace(BaseModel):
    """Where a blob is."""

    model_config = ConfigDict(frozen=True)

    account: str
    container: str
    path: str


def about(text: str) -> str:
    """The digest under which events are found again; see `Event.about`."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def blob_subject(container: str, path: str) -> str:
    """The subject that Event Grid gives the events of a blob."""
    return f"/blobServices/default/containers/{container}/blobs/{path}"


def _blob_place(event: Event) -> BlobPlace:
    subject = _BLOB_SUBJECT.fullmatch(event.subject)
    if subject is None:
        raise EventInvalid(f"Event {event.id!r} has a subject that names no blob.")
    container, path = subject.groups()
    data = event.data if isinstance(event.data, dict) else {}
    try:
        url = urlsplit(str(data.get("url", "")))
    except ValueError:
        url = urlsplit("")
    host = _BLOB_HOST.fullmatch(url.netloc)
    if url.scheme != "https" or host is None or url.query or url.fragment:
        raise EventInvalid(f"Event {event.id!r} has a data.url that is not a plain blob address.")
    # The path a trigger matches and the blob a job reads must be one and the same, and clients
    # take "a/../b" for "b".
    if {".", ".."} & set(unquote(path).split("/")):
        raise EventInvalid(
            f"Event {event.id!r} names a blob whose path leads elsewhere: {path!r}. "
            "Rename the blob."
        )
    # Event Grid has sent both encoded and plain addresses; a plain one must not decode to another.
    named = url.path if "%" not in url.path else unquote(url.path)
    if named != f"/{container}/{path}":
        raise EventInvalid(f"Event {event.id!r} names one blob in its subject, another in its url.")
    return BlobPlace(account=host[1], container=container, path=path)
