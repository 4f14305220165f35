"""What is wrong before the SDK is asked; test_graphs.py has every mistake with its line."""

from pathlib import Path

from shared import checks, documents


def test_mistakes_are_found_without_the_sdk(tmp_path: Path) -> None:
    file = tmp_path / "own.yml"
    file.write_text(
        "type: pipeline\njobs:\n  a:\n    code: ./gone\n    inputs: {x: '${{parent.inputs.x}}'}\n"
    )
    found = [problem.message for problem in checks.before(documents.read(file, root=tmp_path))]

    assert found == [
        "there is no file or folder './gone'",
        "there is no pipeline input 'x'; there are: none",
    ]
