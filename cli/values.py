"""What a person gives on the command line or in a file, as JSON values."""

import json
import sys
from pathlib import Path
from typing import Any

import click
import yaml

from cli.output import WRONG, CommandFailed


def pairs(given: tuple[str, ...], option: str) -> dict[str, str]:
    """`name=value` texts as a mapping. Raises BadParameter."""
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (equals and name):
            raise click.BadParameter(f"{text!r} is not name=value", param_hint=option)
        if name in found:
            raise click.BadParameter(f"{name!r} is given twice", param_hint=option)
        found[name] = value
    return found


def value(text: str) -> str | int | float | bool:
    """true, false, numbers and quoted texts as JSON has them; whatever else is text as it is."""
    try:
        found = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return text
    return found if isinstance(found, str | int | float | bool) else text


def mapping_file(path: Path) -> dict[str, Any]:
    """A JSON or YAML file that holds a mapping. Raises CommandFailed with file:line."""
    text = _read(path)
    try:
        found = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
        # What YAML takes for a date is none of JSON's values.
        json.dumps(found, allow_nan=False)
    except json.JSONDecodeError as error:
        raise CommandFailed(f"{path}:{error.lineno}: is not JSON: {error.msg}", WRONG) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        said = getattr(error, "problem", None) or "it cannot be read"
        raise CommandFailed(f"{place}: is not YAML: {said}", WRONG) from None
    except (TypeError, ValueError, RecursionError):
        raise CommandFailed(
            f"{path}: holds a value that JSON has not; quote dates to make them text", WRONG
        ) from None
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise CommandFailed(f"{path}: must be a mapping of names to values", WRONG)
    return found


def json_file(name: str) -> bytes:
    """The JSON of a file, or of standard input for `-`, as it is. Raises CommandFailed."""
    text = sys.stdin.read() if name == "-" else _read(Path(name))
    where = "standard input" if name == "-" else name
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        raise CommandFailed(f"{where}:{error.lineno}: is not JSON: {error.msg}", WRONG) from None
    except (ValueError, RecursionError):
        raise CommandFailed(f"{where}: is not JSON that can be read", WRONG) from None
    return text.encode()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(f"{path}: cannot be read: {error}", WRONG) from None


def _no_number(name: str) -> Any:
    raise ValueError(name)
