"""What happened, as CloudEvents 1.0 has it: id, source, type, subject, time and data.

Every source is turned into this one shape before anything is decided.
"""

import hashlib
import json
import re
import reprlib
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from shared.errors import EventInvalid

BLOB_CREATED = "Microsoft.Storage.BlobCreated"

#: The writes that finish a blob. Others (CreateFile, an empty FlushFile) raise the same event
#: before there is anything to read. Source: Azure Blob Storage as an Event Grid source.
_FINISHED_WRITES = frozenset({"PutBlob", "PutBlockList", "CopyBlob", "FlushWithClose"})

#: Blob and Data Lake endpoints of Azure's clouds, also those in DNS zones.
_BLOB_HOST = re.compile(
    r"([a-z0-9]{3,24})(?:\.z\d+)?\.(?:blob|dfs)\."
    r"(?:core\.windows\.net|core\.chinacloudapi\.cn|core\.usgovcloudapi\.net|storage\.azure\.net)"
)

_BLOB_SUBJECT = re.compile(r"/blobServices/default/containers/([^/]+)/blobs/(.+)", re.DOTALL)

_SHORT = reprlib.Repr(maxstring=200)

Text = Annotated[str, Field(min_length=1, max_length=2048)]


class Event(BaseModel):
    """One thing that happened."""

    model_config = ConfigDict(frozen=True, extra="allow")

    id: Text
    source: Text
    type: Text
    subject: Annotated[str, Field(max_length=2048)] = ""
    time: AwareDatetime
    data: dict[str, Any]

    @property
    def blob(self) -> "BlobPlace | None":
        """The blob this event is about, when it is about one."""
        return _blob_place(self) if self.type == BLOB_CREATED else None

    @property
    def title(self) -> str:
        """What a person knows it by, on one line: its blob, or its own subject or id."""
        place = self.blob
        text = f"{place.container}/{place.path}" if place else self.subject or self.id
        # A name with a line end in it must not look like a log line of its own.
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)[:300]

    def dedupe_key(self) -> str:
        """What two deliveries of the same happening have in common.

        Event Grid may give one write two ids, so a blob is known by its place and its content's
        ETag; anything else by source and id.
        """
        if place := self.blob:
            parts = ["blob", place.account, place.container, place.path, str(self.data["eTag"])]
        else:
            parts = ["event", self.source, self.id]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class BlobPlace(BaseModel):
    """Where a blob is."""

    model_config = ConfigDict(frozen=True)

    account: str
    container: str
    path: str


def blob_created(
    *, id: str, topic: str, type: str, subject: str, time: datetime | None, data: Any
) -> Event | None:
    """An Event Grid storage event as an Event; None for a write that is not finished yet.

    Raises EventInvalid when it is not a storage event, or contradicts itself.
    """
    # Whoever has the webhook's key chooses what is said here, but not how much.
    shown = _SHORT.repr(id)
    if type != BLOB_CREATED:
        raise EventInvalid(
            f"Event {shown} is a {_SHORT.repr(type)}; this function takes {BLOB_CREATED} only. "
            "Set the event types of its Event Grid subscription."
        )
    if not isinstance(data, dict) or not isinstance(data.get("eTag"), str) or not data["eTag"]:
        raise EventInvalid(f"Event {shown} has no data.eTag, which tells one upload from the next.")
    if str(data.get("api")) not in _FINISHED_WRITES:
        return None
    try:
        event = Event.model_validate(
            {
                "id": id,
                "source": topic,
                "type": type,
                "subject": subject,
                # The worker drops the zone; Event Grid's times are UTC.
                "time": time.replace(tzinfo=time.tzinfo or UTC) if time else None,
                "data": data,
            }
        )
        event.model_dump_json()
    except ValidationError as error:
        fields = ", ".join(str(item["loc"][0]) for item in error.errors())
        raise EventInvalid(f"Event {shown} has unusable attributes: {fields}.") from None
    except ValueError:
        # Valid JSON that nothing can write down again.
        raise EventInvalid(
            f"Event {shown} cannot be stored: it holds text that is not Unicode, or its data is "
            "nested too deeply."
        ) from None
    _blob_place(event)
    return event


def _blob_place(event: Event) -> BlobPlace:
    subject = _BLOB_SUBJECT.fullmatch(event.subject)
    if subject is None:
        raise EventInvalid(f"Event {event.id!r} has a subject that names no blob.")
    container, path = subject.groups()
    try:
        url = urlsplit(str(event.data.get("url", "")))
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
