"""Keys that are known, and what is said of others; test_graphs.py has them in whole pipelines."""

from pathlib import Path

import pytest

from shared import documents, keys, nodes
from shared.documents import Document


@pytest.fixture
def document(tmp_path: Path) -> Document:
    file = tmp_path / "own.yml"
    file.write_text("type: pipeline\ncomand: echo\nserved_by: us\n")
    return documents.read(file, root=tmp_path)


@pytest.mark.filterwarnings("ignore:The .context. parameter")
def test_what_is_known_is_what_the_sdk_knows() -> None:
    from azure.ai.ml._schema.pipeline.component_job import CommandSchema
    from azure.ai.ml._schema.pipeline.pipeline_job import PipelineJobSchema
    from azure.ai.ml._schema.pipeline.settings import PipelineJobSettingsSchema

    for schema, known in (
        (PipelineJobSchema, nodes.PIPELINE_KEYS),
        (CommandSchema, keys.STEP),
        (PipelineJobSettingsSchema, keys.SETTINGS),
    ):
        assert set(schema(context={"base_path": "."}).load_fields) <= known


def test_a_command_spelled_out_in_its_step_knows_its_keys_only() -> None:
    assert keys.unknown({"command": "echo", "inptus": {}}) == {"inptus"}
    assert keys.unknown({"component": "./a.yml", "inptus": {}}) == set()
    assert keys.unknown({"type": "spark", "inptus": {}}) == set()


def test_what_is_left_out_is_told_with_what_is_meant_or_known(document: Document) -> None:
    known = frozenset({"type", "command"})
    told = sorted(str(each) for each in keys.ignored(document, (), document.content, known))

    assert told == [
        "own.yml:2: 'comand' is not known and ignored by AzureML; 'command' is",
        "own.yml:3: 'served_by' is not known and ignored by AzureML; known are command, type",
    ]


def test_only_what_looks_like_a_known_key_is_misspelt(document: Document) -> None:
    [problem] = keys.misspelt(document, (), document.content)

    assert str(problem) == "own.yml:2: 'comand' is not known; 'command' is"
