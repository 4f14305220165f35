"""Texts of others, made fit for a person's terminal."""

import json
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]

#: Characters.
_BEGINNING = 300

_BLOBS = "/blobServices/default/containers/"


def visible(text: object) -> str:
    """A text on one line, with what a terminal would act on, or hide, spelled out.

    The name of a blob may hold escape sequences, line ends and marks that turn the direction of
    writing: whoever uploads it must not write on the screen of whoever looks.
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


def shown(value: object) -> str:
    """A value on one line: texts as they are, all else as JSON has it."""
    if value is None or isinstance(value, str):
        return visible(value or "")
    return visible(json.dumps(value, ensure_ascii=False, default=str))


def lines(text: object) -> list[str]:
    """A text of several lines, each of them visible; tabs become spaces."""
    return [
        visible(line.removesuffix("\r").expandtabs(4)) for line in str(text).strip("\n").split("\n")
    ]


def when(time: object) -> str:
    """An ISO 8601 time as the clock on the wall here has it; whatever else, as it is."""
    try:
        return f"{datetime.fromisoformat(str(time)).astimezone():%Y-%m-%d %H:%M:%S %Z}"
    except ValueError:
        return "" if time is None else visible(time)


def clock(time: object) -> str:
    """An ISO 8601 time with its own offset, 2026-03-29 03:00:00 +02:00; whatever else, as it is."""
    try:
        return f"{datetime.fromisoformat(str(time)):%Y-%m-%d %H:%M:%S %:z}".strip()
    except ValueError:
        return "" if time is None else visible(time)


def utc(time: object) -> str:
    """An ISO 8601 time in UTC, 2026-03-29 01:00:00; whatever else, as it is."""
    try:
        return f"{datetime.fromisoformat(str(time)).astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    except ValueError:
        return "" if time is None else visible(time)


def about(event: Json) -> str:
    """What a person knows an event by: container/path of its blob, or its subject, or its id."""
    subject = str(event.get("subject") or "")
    if subject.startswith(_BLOBS):
        container, _, path = subject.removeprefix(_BLOBS).partition("/blobs/")
        return f"{container}/{path}"
    return subject or str(event.get("id") or "")


def unreadable(run: Json) -> str | None:
    """The beginning of what came and was no event; None of any other run."""
    data = (run.get("event") or {}).get("data")
    if run.get("trigger") != "unreadable" or not isinstance(data, dict):
        return None
    return visible(data.get("text") or "")[:_BEGINNING]


def reason_of(item: Json) -> str:
    """The sentence that says why, where there is one."""
    return str((item.get("reason") or {}).get("text") or "")


def state_of(item: Json, *, alone: bool = False) -> str:
    """A state, with the word for its reason.

    Where that is the same word, the sentence says more, if it does not stand beside it.
    """
    state, why = str(item.get("state") or ""), (item.get("reason") or {}).get("code")
    if why == state:
        why = reason_of(item) if alone else None
    asked = item.get("cancel_requested") and item.get("ended_at") is None
    words = [state, *([f"({why})"] if why else [])]
    return " ".join([*words, *(["(cancel requested)"] if asked else [])])
