"""Which triggers an event is for: an index by source and literal prefix, then small checks."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from shared import expressions
from shared.definitions import Action, TriggerDefinition, TriggerFile
from shared.errors import Problem
from shared.events import Event

_CAPTURE = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class PathPattern:
    """`sales/{region}/{file}.csv`: literal text and captures.

    A capture takes at least one character, never a `/`, and as little as the text behind it
    allows; the last one of a segment takes the rest. There is no backtracking between captures,
    so a hostile path costs no more than a plain one.
    """

    text: str
    #: The text before the first capture.
    prefix: str
    _regex: re.Pattern[str] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> "PathPattern":
        """Raises ValueError that says what is wrong with the pattern."""
        names = _CAPTURE.findall(text)
        if "{" in _CAPTURE.sub("", text) or "}" in _CAPTURE.sub("", text):
            raise ValueError("has a '{' or '}' without its partner")
        for name in names:
            if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
                raise ValueError(f"has a capture named {name!r}; use lower-case letters and '_'")
            if names.count(name) > 1:
                raise ValueError(f"captures {name!r} twice; give each its own name")
        if "*" in text or "?" in text:
            raise ValueError("has a '*' or '?'; write a capture instead, as in {file}.csv")
        if text.startswith("/"):
            raise ValueError("begins with '/'; paths start inside the container")
        segments = [_segment(segment) for segment in text.split("/")]
        return cls(
            text=text,
            prefix=text.partition("{")[0],
            _regex=re.compile("/".join(segments), re.DOTALL),
        )

    @property
    def captures(self) -> frozenset[str]:
        return frozenset(self._regex.groupindex)

    def match(self, path: str) -> dict[str, str] | None:
        """The captures, or None when the path is not of this pattern."""
        found = self._regex.fullmatch(path)
        return found.groupdict() if found else None


def _segment(text: str) -> str:
    literals = _CAPTURE.split(text)
    # split() alternates: literal, name, literal, name, …, literal.
    built = re.escape(literals[0])
    pairs = list(zip(literals[1::2], literals[2::2], strict=True))
    for position, (name, literal) in enumerate(pairs):
        if position == len(pairs) - 1:
            built += f"(?P<{name}>[^/]+){re.escape(literal)}"
        elif literal:
            built += f"(?>(?P<{name}>[^/]+?){re.escape(literal)})"
        else:
            raise ValueError(f"has nothing between {{{name}}} and the next capture to tell them by")
    return built


def check(file: TriggerFile) -> list[Problem]:
    """What is wrong with a trigger beyond the shape of its document."""
    place = ("spec", "blob", "path")
    try:
        pattern = PathPattern.parse(file.trigger.spec.blob.path)
    except ValueError as error:
        return [file.document.problem(place, f"path {error}")]
    roots = {
        "event": frozenset(Event.model_fields),
        "captures": pattern.captures,
        "settings": None,
    }
    return [
        file.document.problem(where, message)
        for where, text in _templates(file.trigger.action)
        for message in expressions.check(text, roots)
    ]


def _templates(action: Action) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every text that may hold expressions, with its place in the document."""
    texts: dict[tuple[str, ...], object] = {
        **{("action", "inputs", name): value for name, value in action.inputs.items()},
        **{("action", "tags", name): value for name, value in action.tags.items()},
        ("action", "compute"): action.compute,
        ("action", "experiment_name"): action.experiment_name,
    }
    for place, text in texts.items():
        if isinstance(text, str):
            yield place, text


@dataclass(frozen=True)
class Match:
    """A trigger an event is for."""

    trigger: TriggerDefinition
    captures: dict[str, str]


@dataclass(frozen=True)
class Near:
    """A trigger that was a candidate, and the first check that said no."""

    trigger: TriggerDefinition
    #: What was asked, for a reader: "path sales/{region}.csv".
    check: str


class Matcher:
    """All triggers, arranged so that an event meets only those it might be for."""

    def __init__(self, triggers: Iterable[TriggerDefinition]) -> None:
        self._by_source: dict[
            tuple[str, str], dict[str, list[tuple[TriggerDefinition, PathPattern]]]
        ] = defaultdict(lambda: defaultdict(list))
        for trigger in triggers:
            blob = trigger.spec.blob
            pattern = PathPattern.parse(blob.path)
            by_prefix = self._by_source[blob.account, blob.container]
            by_prefix[pattern.prefix].append((trigger, pattern))
        self._prefix_lengths = {
            source: sorted({len(prefix) for prefix in by_prefix})
            for source, by_prefix in self._by_source.items()
        }

    def match(self, event: Event) -> Iterator[Match | Near]:
        """Every candidate with its verdict, in order of trigger name."""
        place = event.blob
        if place is None:
            return
        source = (place.account, place.container)
        candidates = [
            candidate
            for length in self._prefix_lengths.get(source, ())
            if length <= len(place.path)
            for candidate in self._by_source[source].get(place.path[:length], ())
        ]
        for trigger, pattern in sorted(candidates, key=lambda candidate: candidate[0].name):
            if failed := _failed_filter(trigger, event):
                yield Near(trigger, failed)
            elif (captures := pattern.match(place.path)) is None:
                yield Near(trigger, f"path {pattern.text}")
            else:
                yield Match(trigger, captures)


def _failed_filter(trigger: TriggerDefinition, event: Event) -> str | None:
    for attribute, text in trigger.spec.filter.prefix.items():
        if not str(getattr(event, attribute)).startswith(text):
            return f"filter prefix {attribute} {text}"
    for attribute, text in trigger.spec.filter.suffix.items():
        if not str(getattr(event, attribute)).endswith(text):
            return f"filter suffix {attribute} {text}"
    return None
