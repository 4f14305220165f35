"""Path patterns: `sales/{region}/{file}.csv`, literal text and captures."""

import re
from dataclasses import dataclass
from functools import cached_property

_CAPTURE = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class PathPattern:
    """`sales/{region}/{file}.csv`: literal text and captures.

    A capture takes at least one character, never a `/`, and as little as the text behind it
    allows; the last one of a segment takes the rest. There is no backtracking between captures,
    so a hostile path costs no more than a plain one.
    """

    text: str

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
        pattern = cls(text)
        assert pattern._regex
        return pattern

    @property
    def prefix(self) -> str:
        """The text before the first capture."""
        return self.text.partition("{")[0]

    @property
    def captures(self) -> frozenset[str]:
        return frozenset(_CAPTURE.findall(self.text))

    def match(self, path: str) -> dict[str, str] | None:
        """The captures, or None when the path is not of this pattern."""
        found = self._regex.fullmatch(path)
        return found.groupdict() if found else None

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        # On first use: ten thousand triggers are read to find the one that an event is for.
        segments = [_segment(segment) for segment in self.text.split("/")]
        return re.compile("/".join(segments), re.DOTALL)


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
