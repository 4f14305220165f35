"""Which local files count for a version."""

from pathlib import Path

import pytest

from shared import sources


@pytest.mark.parametrize("ignore", [".amlignore", ".gitignore"])
def test_files_that_are_not_uploaded_change_no_version(tmp_path: Path, ignore: str) -> None:
    (tmp_path / ignore).write_text("*.log\n")
    (tmp_path / "main.py").write_text("1")
    before = sources.with_files({"code": str(tmp_path)})
    (tmp_path / "run.log").write_text("x")

    assert sources.with_files({"code": str(tmp_path)}) == before
    (tmp_path / "more.py").write_text("x")
    assert sources.with_files({"code": str(tmp_path)}) != before


def test_additional_includes_count(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    component = {"additional_includes": [str(tmp_path / "lib")]}
    before = sources.with_files(component)
    (tmp_path / "lib/a.py").write_text("x")

    assert sources.with_files(component) != before


@pytest.mark.parametrize("value", ["azureml:x:1", "https://x/y", "wasbs://c@a/x", "${{x}}", 5])
def test_what_is_elsewhere_is_not_local(value: object) -> None:
    assert sources.local(value) is None


def test_a_path_is_local() -> None:
    assert sources.local("file:./data") == sources.local("./data") == "./data"
