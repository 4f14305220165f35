"""CloudEvents' filter dialects: the first thing of an event that a filter says no to."""

from shared.events import Event
from shared.specs import Filter


def failed(filter: Filter, event: Event) -> str | None:
    """The part that does not hold, in words; None when all of it holds."""
    for attribute, text in filter.exact.items():
        if event.attribute(attribute) != text:
            return f"exact {attribute} {text}"
    for attribute, text in filter.prefix.items():
        if (said := event.attribute(attribute)) is None or not said.startswith(text):
            return f"prefix {attribute} {text}"
    for attribute, text in filter.suffix.items():
        if (said := event.attribute(attribute)) is None or not said.endswith(text):
            return f"suffix {attribute} {text}"
    for part in filter.all:
        if no := failed(part, event):
            return f"all: {no}"
    if filter.any and all(failed(part, event) for part in filter.any):
        return f"any of {len(filter.any)}"
    if filter.not_ and failed(filter.not_, event) is None:
        return f"not {described(filter.not_)}"
    return None


def described(filter: Filter) -> str:
    """What a filter asks for, on one line."""
    parts = [
        f"{dialect} {attribute} {text}"
        for dialect in ("exact", "prefix", "suffix")
        for attribute, text in getattr(filter, dialect).items()
    ]
    if filter.all:
        parts.append(f"all of ({'; '.join(map(described, filter.all))})")
    if filter.any:
        parts.append(f"any of ({'; '.join(map(described, filter.any))})")
    if filter.not_:
        parts.append(f"not ({described(filter.not_)})")
    return " and ".join(parts)
