"""What is wrong before the SDK is asked; test_graphs.py has every mistake with its line."""

from pathlib import Path

import pytest

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


def found(folder: Path, text: str) -> list[tuple[str, int, str]]:
    file = folder / "own.yml"
    file.write_text(text)
    problems = checks.before(documents.read(file, root=folder))
    return [(problem.file, problem.line, problem.message) for problem in problems]


NEVER_CLOSED = "opens an expression with '${{' but never closes it; end it with '}}'"


def test_an_expression_that_never_closes_is_told_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "filed.yml").write_text("command: echo\ncode: ${{inputs.y}\n")

    assert found(
        tmp_path,
        "type: pipeline\n"
        "inputs: {x: 1, y: 2}\n"
        "jobs:\n"
        "  a:\n"
        "    command: echo ${{inputs.x} --key hidden ${{inputs.y}}\n"
        "    inputs:\n"
        "      x: ${{parent.inputs.x}\n"
        "      y: ${{ parent.inputs.y }}\n"
        "  b: {component: ./filed.yml}\n"
        "tags: {of: '${{'}\n",
    ) == [
        ("filed.yml", 2, f"'${{{{inputs.y}}' {NEVER_CLOSED}"),
        ("own.yml", 5, f"'${{{{inputs.x}}' {NEVER_CLOSED}"),
        ("own.yml", 7, f"'${{{{parent.inputs.x}}' {NEVER_CLOSED}"),
        ("own.yml", 10, f"'${{{{' {NEVER_CLOSED}"),
    ]


@pytest.mark.parametrize(
    "step",
    [
        "{command: 'echo ${HOME} ${x:-{}} $[[ --x ${{inputs.x}} ]]', inputs: {x: 1}}",
        "{command: echo, description: 'what ${{ is for'}",
    ],
)
def test_the_shell_s_own_braces_and_prose_are_no_expressions(tmp_path: Path, step: str) -> None:
    assert found(tmp_path, f"type: pipeline\njobs:\n  a: {step}\n") == []
