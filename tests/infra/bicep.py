"""Bicep as the tests read it: what pycep makes of a file, with loops and conditions taken off.

pycep tells a name from a text of the same letters nowhere: both are a str.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pycep import BicepParser

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"

FILES = sorted(INFRA.rglob("*.bicep"))

type Json = Any


@dataclass(frozen=True)
class Module:
    """A module that a file uses."""

    name: str
    #: Path of the file in infra/, or the registry's path and version.
    source: str
    params: dict[str, Json]

    @property
    def verified(self) -> str:
        """Path of the Azure Verified Module it is; empty when it is one of ours."""
        return self.source.partition(":")[0] if self.source.startswith("avm/") else ""


@dataclass(frozen=True)
class Bicep:
    """One file."""

    path: Path
    text: str
    tree: dict[str, Json]

    @property
    def name(self) -> str:
        return str(self.path.relative_to(INFRA))

    @property
    def parameters(self) -> dict[str, Json]:
        return dict(self.tree.get("parameters", {}))

    @property
    def outputs(self) -> dict[str, Json]:
        return dict(self.tree.get("outputs", {}))

    @property
    def resources(self) -> dict[str, Json]:
        """The whole declarations: `type`, `existing`, `config`."""
        return dict(self.tree.get("resources", {}))

    def modules(self) -> list[Module]:
        found = []
        for name, module in self.tree.get("modules", {}).items():
            detail = module["detail"]
            if module["type"] == "local":
                path = (self.path.parent / detail["path"]).resolve()
                source = str(path.relative_to(INFRA))
            else:
                source = f"{detail['path']}:{detail['tag']}"
            found.append(Module(name, source, body(module).get("params", {})))
        return found


def body(declared: Json) -> dict[str, Json]:
    """What a module or resource is given, whether in a loop, under a condition, or neither."""
    config = declared["config"]
    while "condition" in config or "loop_type" in config:
        config = config["config"]
    return dict(config)


@cache
def read(path: Path) -> Bicep:
    text = path.read_text()
    tree: Json = BicepParser().parse(text=text)
    return Bicep(path, text, tree)


def all_files() -> list[Bicep]:
    return [read(path) for path in FILES]


def verified(path: str) -> list[Module]:
    """Every use of an Azure Verified Module."""
    return [one for file in all_files() for one in file.modules() if one.verified == path]


def decorated(declared: Json, kind: str) -> Json:
    """The argument of a decorator, None without it."""
    return next((one["argument"] for one in declared["decorators"] if one["type"] == kind), None)
