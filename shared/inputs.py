"""What a pipeline takes: its inputs as declared, and the values that fit them."""

import hashlib
import re
import sys
from collections.abc import Callable
from math import isfinite
from typing import Any
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from shared.errors import listed

Literal = str | bool | int | float

#: How the inputs begin that Signalbox itself adds to a pipeline.
RESERVED_INPUT = "signalbox_"

#: Types of inputs that are data, not values. Source: AzureML CLI v2 pipelineJob schema.
DATA_TYPES = frozenset(
    {"uri_file", "uri_folder", "mltable", "custom_model", "mlflow_model", "triton_model"}
)

#: Text that is a number and nothing else: a path's 2024_01 is none.
_INTEGER = re.compile(r"[+-]?[0-9]{1,300}")
_NUMBER = re.compile(r"[+-]?([0-9]{1,300}(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,5})?")


#: A reference by label, which is another version tomorrow; `latest` is the one that is looked up.
_LABELLED = re.compile(r"azureml:(?!//)[^:]*@|.*/labels/")
_LATEST = re.compile(r"azureml:([A-Za-z0-9][A-Za-z0-9._-]{0,254})@latest")

#: Integers beyond these do not fit into 64 bits.
_INTEGERS = range(-(2**63), 2**63)
#: Integers up to this are numbers that have a floating-point form.
_FLOATS = int(sys.float_info.max)

#: A quote, as it stands or as JSON within JSON has it.
_QUOTE = r"\\{0,8}[\"']"

#: Keys, tokens and signed addresses, by their form.
#:
#: Whoever sends an event chooses the text, so every branch must cost what the text is long: a run
#: of any length is entered at one place only, and never given back.
_SECRET = re.compile(
    # AccountKey=…, "AccountKey": "…", AccountKey%3D…
    r"(?i:Account_?Key|Access_?Key|Shared_?Access_?Key|Shared_?Access_?Signature)"
    rf"(?:(?:=|%(?:25){{0,4}}3[Dd]|\\{{1,8}}u003[Dd])(?:{_QUOTE})?|{_QUOTE}\s{{0,9}}[:=]\s{{0,9}}{_QUOTE})"
    r"(?!-----BEGIN |\[secret\])(?:[^;\s\"'\\]|\\(?![\"'])){8,}+"
    # ?sig=…, also as JSON, HTML or an address within an address has it
    r"|(?:[?&]|&amp;|%(?:25){0,4}(?:26|3[Ff])|\\u00(?:26|3[Ff]))"
    r"sig(?:=|%(?:25){0,4}3[Dd]|\\{1,8}u003[Dd])"
    r"(?:[A-Za-z0-9%+/=_-]|\\{1,8}(?:/|u002[BbFf]|u003[Dd])){16,}+"
    # A JWT. The run of characters that it begins in is looked at once, from its first one.
    r"|(?<![A-Za-z0-9_-])(?=[A-Za-z0-9_-]{13,}+\.eyJ[A-Za-z0-9_-]{10,}+\.)"
    r"[A-Za-z0-9_-]*?eyJ[A-Za-z0-9_-]{10,}+\.[A-Za-z0-9_-]++\.[A-Za-z0-9_-]*+"
    rf"|(?i:Authorization)(?:{_QUOTE})?\s{{0,9}}[:=]\s{{0,9}}(?:{_QUOTE})?"
    r"(?i:Bearer|Basic)\s{1,9}[A-Za-z0-9._~+/=-]{8,}+"
    r"|\b[Bb]earer\s{1,9}[A-Za-z0-9._~+/=-]{20,}+"
    r"|-----BEGIN [A-Z ]{0,40}PRIVATE KEY[\s\S]*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)"
    r"|\bgh[pousr]_[A-Za-z0-9]{30,}+"
)

#: What `seal` makes.
_SEALED = re.compile(r"\[secret [0-9a-f]{12}\]")

_SHELL = re.compile(r"[\x00-\x1f\x7f$`\"'\\;&|<>#]")


def compute_input(step: str) -> str:
    """The pipeline's input that carries the compute of a step."""
    return f"{RESERVED_INPUT}compute_{step}"


def secret(text: str) -> bool:
    """Whether text holds what is a secret by its form: a key, a token, a signed address."""
    return _SECRET.search(text) is not None


def redacted(text: str) -> str:
    """Text without the secrets in it."""
    return _SECRET.sub("[secret]", text)


def clean(value: Any, mark: Callable[[str], str] = lambda _secret: "[secret]") -> Any:
    """JSON without the secrets in its texts and names, each replaced by its mark."""
    if isinstance(value, str):
        return _SECRET.sub(lambda found: mark(found[0]), value)
    if isinstance(value, list):
        return [clean(item, mark) for item in value]
    if isinstance(value, dict):
        return {
            # A key is known by its name too: {"AccountKey": "…"} says it in two texts.
            clean(str(name), mark): mark(item)
            if isinstance(item, str) and secret(f"{name}={item}")
            else clean(item, mark)
            for name, item in value.items()
        }
    return value


def seal(secret: str) -> str:
    """What is kept of a secret: enough to tell it from another one."""
    return f"[secret {hashlib.sha256(secret.encode(errors='replace')).hexdigest()[:12]}]"


def unsafe(value: Any) -> str | None:
    """Why something an event says must not become a job's input; None when it may.

    AzureML writes inputs into the step's command line, where a shell reads them: whoever may name
    a blob `$(…)` would run commands with the job's identity. The same holds for encoded text,
    since data is mounted under its decoded name.
    """
    if isinstance(value, str) and (secret(value) or _SEALED.search(value)):
        return (
            "holds a key, a token or a signed address, which everybody who sees the job could "
            "read; send the plain address"
        )
    found = _SHELL.search(unquote(value)) if isinstance(value, str) else None
    return found and (
        f"{value!r} holds {found[0]!r}, on which a shell would act; rename the blob or send other "
        "text"
    )


def latest_of(path: str | None) -> str | None:
    """The asset of which a path names the latest version, as `azureml:name@latest` does."""
    found = _LATEST.fullmatch(path or "")
    return found and found[1]


class DataInput(BaseModel):
    """A data input or output of a job: where it is and how it is mounted."""

    model_config = ConfigDict(frozen=True, extra="allow")

    type: str
    path: str | None = None
    mode: str | None = None
    #: What an output is registered as; AzureML counts versions when none is named.
    name: str | None = None
    version: str | None = None

    @model_serializer(mode="wrap")
    def _written(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the name that most have not."""
        content: dict[str, Any] = write(self)
        unset = {key for key in ("name", "version") if getattr(self, key) is None}
        return {key: value for key, value in content.items() if key not in unset}


class PipelineInput(BaseModel):
    """One input of a pipeline."""

    model_config = ConfigDict(frozen=True, extra="allow")

    type: str
    #: A literal's value when the trigger binds none.
    default: Literal | None = None
    #: Where a data input comes from when the trigger binds none.
    path: str | None = None
    mode: str | None = None
    #: A job may leave it out, and its steps do without.
    optional: bool = False
    #: What it may be; anything when empty.
    enum: tuple[Literal, ...] = ()
    #: The least and the greatest that a number may be.
    min: int | float | None = None
    max: int | float | None = None

    @model_serializer(mode="wrap")
    def _written(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the constraints that it does not have: most inputs have none."""
        unset = {"optional": False, "enum": (), "min": None, "max": None}
        content: dict[str, Any] = write(self)
        return {
            name: value
            for name, value in content.items()
            if name not in unset or getattr(self, name) != unset[name]
        }

    @property
    def required(self) -> bool:
        return self.default is None and self.path is None and not self.optional

    def take(self, value: Any) -> DataInput | Literal | None:
        """A bound value, or None for none, as a job's input; None when the job leaves it out.

        Text that comes from paths and messages is read as the input's type. Raises ValueError.
        """
        if self.optional and value in (None, "") and self.default is None and self.path is None:
            return None
        if self.type in DATA_TYPES:
            # The pipeline's own path may be anything that AzureML takes.
            path = self.path if value is None and self.path else _data_path(value)
            return DataInput(type=self.type, path=path, mode=self.mode)
        if value == "" != self.default:
            # The SDK leaves empty text out of the request, and AzureML takes the default instead.
            raise ValueError("is empty text, which AzureML's SDK does not send; bind something")
        if value is None:
            # Publishing said what it thinks of the pipeline's own default; AzureML takes it.
            return _literal(self.default, self.type)
        taken = _literal(value, self.type)
        if why := self._beyond(taken):
            raise ValueError(f"{taken!r} {why}")
        return taken

    def _beyond(self, value: Literal) -> str | None:
        """Why a value of the right type is none that the pipeline takes."""
        if self.enum and value not in self.enum and str(value) not in map(str, self.enum):
            return f"is not one of {listed(map(str, self.enum))}"
        if isinstance(value, str | bool):
            return None
        if self.min is not None and value < self.min:
            return f"is less than {self.min}, the least that the pipeline takes"
        if self.max is not None and value > self.max:
            return f"is more than {self.max}, the most that the pipeline takes"
        return None


def _data_path(value: Any) -> str:
    if value is None:
        raise ValueError("the pipeline needs this data and nothing is bound to it")
    if not isinstance(value, str) or not value.startswith(
        ("https://", "azureml:", "wasbs://", "abfss://")
    ):
        raise ValueError(f"{value!r} is not an https://, azureml:, wasbs:// or abfss:// path")
    if _LABELLED.match(value) and not latest_of(value):
        raise ValueError(
            f"{value!r} means another version tomorrow; name one, as in azureml:x:1, or the "
            "latest of the workspace, as in azureml:x@latest"
        )
    return value


def _literal(value: Any, type: str) -> Literal:
    match type, value:
        case _, None:
            raise ValueError("the pipeline needs this value and nothing is bound to it")
        case "boolean", bool():
            return value
        case "boolean", str() if value.lower() in ("true", "false"):
            return value.lower() == "true"
        case "integer", int() if not isinstance(value, bool):
            return _integer(value)
        case "integer", float() if value.is_integer():
            return _integer(int(value))
        case "integer", str() if _INTEGER.fullmatch(value):
            return _integer(int(value))
        case "number", int() if not isinstance(value, bool) and -_FLOATS <= value <= _FLOATS:
            return value
        # NaN and infinity have no JSON, and no job means them.
        case "number", float() if isfinite(value):
            return value
        case "number", str() if _NUMBER.fullmatch(value) and isfinite(float(value)):
            return float(value)
        case "string", str():
            return value
        case "string", bool():
            return str(value).lower()
        case "string", int() | float():
            return str(value)
    raise ValueError(f"{value!r} is not of type {type}")


def _integer(value: int) -> int:
    if value not in _INTEGERS:
        raise ValueError(f"{value} does not fit into 64 bits, so it is not of type integer")
    return value
