"""Labels of components and environments: which version each stands for when it is published.

A published version never changes, so it holds no labels: they are looked up, and what they stand
for is written in their place.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from shared.documents import Document, texts
from shared.errors import Problem

_NAMED = re.compile(r"(?P<prefix>azureml:)?(?P<name>[^/:@]+)(?:@(?P<label>[^/:@]+))?")
#: Registries answer elsewhere, to other rights: AzureML looks there when it runs a step.
_OF_REGISTRY = re.compile(r"azureml://registries/[^/]+/\w+/[^/]+/labels/[^/]+")
#: Azure's own environments, which are in a registry too: the SDK hands them on as they are.
_CURATED = re.compile(r"(azureml:)?AzureML-[^/:@]+@[^/:@]+")

#: The version that a label stands for, by kind (`component` or `environment`), name and label;
#: None when there is none. Raises WorkspaceUnavailable, JobRejected.
Look = Callable[[str, str, str], str | None]


@dataclass
class Labels:
    """Puts versions in place of labels, and looks each label up once."""

    look: Look
    _known: dict[tuple[str, str, str], str | None] = field(default_factory=dict)

    def pin(self, kind: str, reference: str) -> str:
        """The reference with a version; one without a label, or that nobody has, as it is."""
        asked = label_of(kind, reference)
        if asked is None:
            return reference
        if asked not in self._known:
            self._known[asked] = self.look(*asked)
        version = self._known[asked]
        prefix = "azureml:" if reference.startswith("azureml:") else ""
        return reference if version is None else f"{prefix}{asked[1]}:{version}"


@dataclass
class Noted:
    """Keeps what labels there are, without asking anybody."""

    found: list[tuple[str, str]] = field(default_factory=list)

    def pin(self, kind: str, reference: str) -> str:
        if label_of(kind, reference) or _elsewhere(reference):
            self.found.append((kind, reference))
        return reference

    def missing(self, document: Document, labels: Labels) -> list[Problem]:
        """Those of a workspace that stand for nothing."""
        return [
            _at(
                document,
                reference,
                f"there is no {kind} {reference.removeprefix('azureml:')!r} in the workspace",
            )
            for kind, reference in dict.fromkeys(self.found)
            if label_of(kind, reference) and labels.pin(kind, reference) == reference
        ]

    def loose(self, document: Document) -> list[Problem]:
        """Those of registries, which AzureML looks up whenever a step runs."""
        why = (
            "is a label of a registry, which may stand for another version tomorrow; to keep to "
            "one, write /versions/<version>"
        )
        return [
            _at(document, reference, f"{reference} {why}")
            for _, reference in dict.fromkeys(self.found)
            if _elsewhere(reference)
        ]


def label_of(kind: str, reference: str) -> tuple[str, str, str] | None:
    """Kind, name and label, if it is a label that a reference to the workspace has."""
    found = _NAMED.fullmatch(reference)
    if found is None or (kind == "environment" and _CURATED.fullmatch(reference)):
        return None
    # AzureML takes a component without a version as the one that is its default.
    label = found["label"] or ("default" if kind == "component" else None)
    return (kind, found["name"], label) if label else None


def _elsewhere(reference: str) -> bool:
    """Whether it is a label that the workspace does not know, and AzureML looks up all the same."""
    return bool(_OF_REGISTRY.fullmatch(reference) or _CURATED.fullmatch(reference))


def _at(document: Document, reference: str, message: str) -> Problem:
    """At its line in the pipeline, when it is written there and not in a component's file."""
    bare = reference.removeprefix("azureml:")
    found = [
        place for place, text in texts(document.content) if text.removeprefix("azureml:") == bare
    ]
    return document.problem(found[0] if found else (), message)
