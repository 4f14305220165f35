"""YAML files read with the line of every value, so that an error can name its place."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from shared.errors import DefinitionsInvalid, Problem

#: Bytes. A definition is a page or two; what is larger is a mistake or an attack.
MAX_SIZE = 1 << 20
#: Values counted after aliases are expanded, which is how small files become huge.
MAX_VALUES = 20_000

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """One YAML file: its content and where each value stands."""

    #: As the user would name it.
    file: str
    path: Path
    #: The folder that `file` is relative to.
    root: Path
    content: dict[str, Any]
    lines: dict[Place, int]
    #: Whether the content is another than the file's.
    rewritten: bool = False

    def line(self, place: Sequence[str | int]) -> int:
        """The line of a value, or of the nearest value around it."""
        for end in range(len(place), -1, -1):
            if line := self.lines.get(tuple(place[:end])):
                return line
        return 0

    def problem(self, place: Sequence[str | int], message: str) -> Problem:
        return Problem(file=self.file, line=self.line(place), message=message)


def read(path: Path, *, root: Path) -> Document:
    """Read a YAML file; problems name it relative to `root`.

    Raises DefinitionsInvalid when it is not one YAML mapping of reasonable size.
    """
    whole, folder = path.resolve(), root.resolve()
    file = str(whole.relative_to(folder) if whole.is_relative_to(folder) else path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        why = f"cannot be read: {error.strerror}"
        raise DefinitionsInvalid([Problem(file=file, line=0, message=why)]) from None
    return parse(raw, file=file, path=path, root=root)


def parse(raw: bytes, *, file: str, path: Path, root: Path, rewritten: bool = False) -> Document:
    """A YAML file from its bytes; nothing is read. `rewritten` when they are not what is at `path`.

    Raises DefinitionsInvalid when it is not one YAML mapping of reasonable size.
    """

    def refuse(message: str, line: int = 0) -> DefinitionsInvalid:
        return DefinitionsInvalid([Problem(file=file, line=line, message=message)])

    if len(raw) > MAX_SIZE:
        raise refuse(f"is larger than {MAX_SIZE} bytes; keep data out of definitions")
    try:
        tree = yaml.compose(raw, Loader=yaml.SafeLoader)
        if tree is None:
            raise refuse("is empty; write a YAML mapping (key: value), or delete it")
        if not isinstance(tree, yaml.MappingNode):
            raise refuse("is not a YAML mapping (key: value)")
        reader = _Reader(refuse)
        content = reader.value(tree, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        why = f"is not YAML: {error.problem}"
        if mark and "'\\t'" in why:
            why += "; indent with spaces, never with a tab"
        if "an alias" in (error.context or "") or "'@'" in why:
            why += "; quote text that begins with '*', '&' or '@'"
        raise refuse(why, mark.line + 1 if mark else 0) from None
    except (yaml.YAMLError, ValueError) as error:
        raise refuse(f"is not YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise refuse("is nested too deeply") from None
    return Document(
        file=file, path=path, root=root, content=content, lines=reader.lines, rewritten=rewritten
    )


def texts(content: Any) -> Iterator[tuple[Place, str]]:
    """Every text in a content, with its place."""
    match content:
        case str():
            yield (), content
        case dict():
            for key, value in content.items():
                for place, text in texts(value):
                    yield (key, *place), text
        case list():
            for number, value in enumerate(content):
                for place, text in texts(value):
                    yield (number, *place), text


class _Reader:
    """Walks a YAML tree into plain values, noting lines, counting values, refusing doubles."""

    def __init__(self, refuse: Any) -> None:
        self._refuse = refuse
        self._scalars = yaml.constructor.SafeConstructor()
        self._count = 0
        self.lines: dict[Place, int] = {}

    def value(self, node: yaml.Node, place: Place) -> Any:
        line = node.start_mark.line + 1
        self._count += 1
        if self._count > MAX_VALUES:
            raise self._refuse(f"holds more than {MAX_VALUES} values", line)
        self.lines.setdefault(place, line)
        match node:
            case yaml.MappingNode():
                return self._mapping(node, place)
            case yaml.SequenceNode():
                return [self.value(item, (*place, n)) for n, item in enumerate(node.value)]
            case _:
                return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            at = key_node.start_mark.line + 1
            if key_node.tag == "tag:yaml.org,2002:merge":
                # https://yaml.org/type/merge.html: a key of one's own goes before a merged one,
                # an earlier merge before a later.
                value = self.value(value_node, (*place, "<<"))
                for part in value if isinstance(value, list) else [value]:
                    if not isinstance(part, dict):
                        raise self._refuse("merges (<<) what is not a mapping", at)
                    merged = {**part, **merged}
                continue
            key = self._scalar(key_node)
            if not isinstance(key, str):
                raise self._refuse(f"has the key {key!r}, which is not text: quote it", at)
            if key in found:
                raise self._refuse(f"has the key {key!r} twice", at)
            self.lines[(*place, key)] = at
            found[key] = self.value(value_node, (*place, key))
        return {**merged, **found}

    def _scalar(self, node: yaml.Node) -> Any:
        try:
            found = self._scalars.construct_object(node)
            if isinstance(found, str) and not found.isascii():
                # As JSON escapes what is beyond 16 bits: by two halves.
                found = found.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
        except UnicodeDecodeError:
            why = "holds half of a surrogate pair, which is not Unicode; take it out"
            raise self._refuse(why, node.start_mark.line + 1) from None
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            line = node.start_mark.line + 1
            raise self._refuse(f"holds a value that is not of its type: {error}", line) from None
        return found
