"""Markdown as the tests of the documentation read it: tables, fenced blocks, headings, links."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"^(```+)(\w*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_CELL = re.compile(r"(?<!\\)\|")
_CODE = re.compile(r"(`+)(.+?)\1(?!`)", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    language: str
    text: str
    #: The nearest heading above it.
    heading: str


@dataclass(frozen=True)
class Page:
    """One Markdown file."""

    path: Path
    text: str

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def prose(self) -> str:
        """All but fenced blocks."""
        return _FENCE.sub("", self.text)

    def blocks(self, language: str) -> list[Block]:
        return [
            Block(language, found[3], self._heading_before(found.start()))
            for found in _FENCE.finditer(self.text)
            if found[2] == language
        ]

    def table(self, *header: str) -> list[list[str]]:
        """The rows of every table with that header, cells as written."""
        rows: list[list[str]] = []
        inside = False
        for line in self.prose.splitlines():
            cells = _cells(line)
            if cells == list(header):
                inside = True
            elif not cells:
                inside = False
            elif inside and not set("".join(cells)) <= set("-: "):
                rows.append(cells)
        return rows

    def keys(self, *header: str) -> list[str]:
        """Everything in code in the first cells of such tables."""
        return [code for row in self.table(*header) for code in codes(row[0])]

    def anchors(self) -> set[str]:
        """What links may point at, as GitHub names it."""
        plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in self.headings())
        return {heading.strip().replace(" ", "-") for heading in plain}

    def headings(self) -> list[str]:
        return [found[1] for found in _HEADING.finditer(self.prose)]

    def links(self) -> list[str]:
        return [found[1] for found in _LINK.finditer(self.prose)]

    def _heading_before(self, position: int) -> str:
        # A comment in a block above looks like a heading, so blocks are left out.
        above = _FENCE.sub("", self.text[:position])
        return ([found[1] for found in _HEADING.finditer(above)] or [""])[-1]


def codes(text: str) -> list[str]:
    """What is marked as code in a text."""
    return [found[2].strip() for found in _CODE.finditer(text)]


@cache
def page(name: str) -> Page:
    path = ROOT / name
    return Page(path, path.read_text())


def pages() -> Iterator[Page]:
    """Everything that is written for readers of the project."""
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]):
        yield page(str(path.relative_to(ROOT)))


def _cells(line: str) -> list[str]:
    if not line.startswith("|"):
        return []
    return [cell.strip().replace("\\|", "|") for cell in _CELL.split(line.strip())[1:-1]]
