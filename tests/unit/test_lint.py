"""What is wrong with a trigger beyond the shape of its document."""

from pathlib import Path
from typing import Any

import pytest

from shared import lint
from shared.definitions import TriggerFile
from shared.documents import Document, Place
from shared.errors import Problem
from tests.unit import scene


def file(**action: Any) -> TriggerFile:
    path = action.pop("path", "sales/{region}/{file}.csv")
    lines: dict[Place, int] = {
        ("spec", "blob", "path"): 3,
        ("action", "inputs", "data"): 7,
        ("action", "tags", "note"): 9,
        ("action", "compute"): 10,
        ("action", "experiment_name"): 11,
    }
    document = Document(
        root=Path(),
        file="triggers/on-upload.yml",
        path=Path("on-upload.yml"),
        content={},
        lines=lines,
    )
    return TriggerFile(trigger=scene.trigger(path=path, **action), document=document)


def check(file: TriggerFile) -> list[Problem]:
    """What is wrong with it when its pipeline's ports are not known."""
    return lint.check(file, {scene.PIPELINE: None}, listens=())


def test_a_trigger_without_mistakes_has_no_problems() -> None:
    assert not check(
        file(
            inputs={"data": "${{ event.data.url }}", "rows": 5, "note": "plain"},
            tags={"region": "${{ captures.region }}-${{ settings.stage }}"},
            compute="${{ captures.file }}",
            experiment_name="churn",
        )
    )


def test_every_text_of_a_trigger_is_looked_at() -> None:
    problems = check(
        file(
            inputs={"data": "${{ evnt.url }}"},
            tags={"note": "${{ event. }}"},
            compute="${{ group.x }}",
            experiment_name="${{ captures.regoin }}",
        )
    )

    assert [(problem.file, problem.line) for problem in problems] == [
        ("triggers/on-upload.yml", line) for line in (7, 9, 10, 11)
    ]
    assert "captures has no 'regoin', only file, region" in problems[-1].message


def test_a_wrong_path_has_its_line() -> None:
    assert check(file(path="sales/{region")) == [
        Problem(
            file="triggers/on-upload.yml",
            line=3,
            message="path has a '{' or '}' without its partner",
        )
    ]


@pytest.mark.parametrize(
    "text", ["see captures.md", "${{ event.data.captures.size }}", "${{ settings.captures.x }}"]
)
def test_only_the_root_captures_is_the_path_s(text: str) -> None:
    assert check(file(tags={"note": text})) == []
