"""Which version a label stands for."""

from pathlib import Path

import pytest

from shared import documents
from shared.labels import Labels, Noted, label_of

REGISTRY = "azureml://registries/azureml/environments/sklearn/labels/latest"


@pytest.mark.parametrize(
    ("kind", "reference", "asked"),
    [
        ("environment", "azureml:plain@latest", ("environment", "plain", "latest")),
        ("component", "azureml:prepare@latest", ("component", "prepare", "latest")),
        ("component", "prepare@default", ("component", "prepare", "default")),
        ("component", "azureml:prepare", ("component", "prepare", "default")),
        ("environment", "azureml:plain", None),
        ("environment", "azureml:AzureML-AutoML@prod", None),
        ("environment", "azureml:plain:3", None),
        ("component", "azureml:prepare:3", None),
        ("environment", REGISTRY, None),
        ("component", "${{parent.inputs.x}}", None),
        ("component", "azureml:/subscriptions/x/components/y/versions/1", None),
    ],
)
def test_what_is_a_label_of_the_workspace(
    kind: str, reference: str, asked: tuple[str, str, str] | None
) -> None:
    found = label_of(kind, reference)

    assert (found if found and "$" not in found[1] else None) == asked


def test_a_label_is_looked_up_once_and_a_version_takes_its_place() -> None:
    looks: list[tuple[str, str, str]] = []

    def look(kind: str, name: str, label: str) -> str | None:
        looks.append((kind, name, label))
        return "7"

    labels = Labels(look)

    assert labels.pin("environment", "azureml:plain@latest") == "azureml:plain:7"
    assert labels.pin("environment", "azureml:plain@latest") == "azureml:plain:7"
    assert labels.pin("component", "plain@latest") == "plain:7"
    assert labels.pin("component", "azureml:other:1") == "azureml:other:1"
    assert looks == [("environment", "plain", "latest"), ("component", "plain", "latest")]


def test_what_nobody_has_and_what_is_elsewhere_is_told_with_its_line(tmp_path: Path) -> None:
    text = f"a: azureml:plain@latest\nb: {{c: '{REGISTRY}'}}\n"
    document = documents.parse(text.encode(), file="a.yml", path=tmp_path / "a.yml", root=tmp_path)
    noted = Noted()
    for reference in ("azureml:plain@latest", REGISTRY, "azureml:fine:1", REGISTRY):
        assert noted.pin("environment", reference) == reference

    assert [str(each) for each in noted.missing(document, Labels(lambda *_: None))] == [
        "a.yml:1: there is no environment 'plain@latest' in the workspace"
    ]
    assert noted.missing(document, Labels(lambda *_: "1")) == []
    [loose] = noted.loose(document)
    assert str(loose).startswith(f"a.yml:2: {REGISTRY} is a label of a registry")
