"""Values in a pipeline's document, and what the components they go to say of them."""

from collections.abc import Iterable, Mapping
from typing import Any

from shared.inputs import DATA_TYPES

_BOOLEANS = ("true", "false", "1", "0", "1.0", "0.0")


def flag(value: Any) -> bool:
    """A yes or no, as YAML or the SDK writes it."""
    return str(value).lower() == "true"


def misfit(value: Any, declared: dict[str, Any]) -> str | None:
    """Why AzureML would not take a value for a component's input; None when it may.

    Text is taken for a number when it reads as one, as AzureML does.
    """
    kind = str(declared.get("type"))
    if value is None or isinstance(value, dict) or "${{" in str(value):
        return None
    if kind in DATA_TYPES:
        # A path alone is taken for data.
        return None if isinstance(value, str) else f"{value!r} is no data, which it takes ({kind})"
    if kind in ("integer", "number"):
        number = _number(value)
        if number is None or (kind == "integer" and not number.is_integer()):
            return f"{value!r} is not of type {kind}"
        for bound, beyond in (("min", number.__lt__), ("max", number.__gt__)):
            limit = _number(declared.get(bound))
            if limit is not None and beyond(limit):
                return f"{value!r} is beyond the {bound} of {declared[bound]}"
    if kind == "boolean" and str(value).lower() not in _BOOLEANS:
        return f"{value!r} is not of type boolean"
    return None if _as_text(kind, value) else _not_chosen(value, declared)


def doubt(value: Any, declared: dict[str, Any]) -> str | None:
    """Why a value is hardly meant that AzureML takes; None when it may be."""
    return _not_chosen(value, declared) if _as_text(str(declared.get("type")), value) else None


def narrowest(ports: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What all ports that get one value take of it, as a PipelineInput says that."""
    least, most, choices = [], [], None
    for declared in ports:
        least += [found for found in [_number(declared.get("min"))] if found is not None]
        most += [found for found in [_number(declared.get("max"))] if found is not None]
        if some := declared.get("enum"):
            choices = [each for each in some if choices is None or each in choices]
    found = {
        "min": max(least, default=None),
        "max": min(most, default=None),
        "enum": tuple(choices or ()),
    }
    whole = {name: int(x) for name, x in found.items() if isinstance(x, float) and x.is_integer()}
    return {name: value for name, value in {**found, **whole}.items() if value not in (None, ())}


def _as_text(kind: str, value: Any) -> bool:
    """Whether a number is given for text, which nobody compares with the choices."""
    return kind == "string" and isinstance(value, int | float)


def _not_chosen(value: Any, declared: dict[str, Any]) -> str | None:
    choices = [str(choice) for choice in declared.get("enum") or ()]
    if not choices or str(value) in choices:
        return None
    return f"{value!r} is not one of {', '.join(choices)}"


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
