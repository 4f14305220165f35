"""The documentation says what there is: settings, commands, promises, numbers, links."""

import ast
import importlib
import json
import re
import shlex
import tomllib
from datetime import timedelta
from typing import Any

import click
import pytest

from cli.main import main
from shared.settings import Settings
from shared.tick import OPEN_BUDGET
from tests.simulation.occurrence_traps import OCCURRENCE_TRAPS
from tests.simulation.traps import TRAPS
from tests.unit.pages import ROOT, codes, page, pages

GUARANTEES = "docs/delivery-guarantees.md"


# Settings


def _settings() -> set[str]:
    return {str(field.alias) for field in Settings.model_fields.values() if field.alias}


def _command_settings() -> set[str]:
    """What the command reads beside the app's settings."""
    text = "\n".join(file.read_text() for file in (ROOT / "cli").glob("*.py"))
    return set(re.findall(r"SIGNALBOX_[A-Z_]*[A-Z]", text)) - _settings()


def test_every_setting_is_in_the_readme_s_table() -> None:
    # One is Azure's own: the platform sets it, nobody else.
    expected = (_settings() | _command_settings()) - {"WEBSITE_AUTH_ENABLED"}

    assert sorted(page("README.md").keys("setting", "meaning")) == sorted(
        {*expected, "SIGNALBOX_VAR_<NAME>"}
    )


def test_no_page_names_a_setting_that_does_not_exist() -> None:
    known = _settings() | _command_settings()
    for here in pages():
        named = set(re.findall(r"SIGNALBOX_[A-Z_]*[A-Z]", here.text))
        unknown = {name for name in named - known if not name.startswith("SIGNALBOX_VAR")}
        assert unknown == set(), here.name


def test_the_local_app_has_no_setting_that_is_not_documented() -> None:
    local = json.loads((ROOT / "local.settings.json").read_text())["Values"]
    ours = {name for name in local if name.startswith(("SIGNALBOX_", "ServiceBusConnection"))}

    assert ours <= set(page("README.md").keys("setting", "meaning"))


# The command


def test_every_command_is_in_the_readme_and_no_other() -> None:
    rows = page("README.md").table("command", "what")
    shown = {codes(name)[0].split()[1]: codes(what) for name, what in rows}

    assert sorted(shown) == sorted(main.commands)
    for name, command in main.commands.items():
        if isinstance(command, click.Group):
            missing = command.commands.keys() - {"list"} - set(shown[name])
            assert missing == set(), f"signalbox {name}"


def test_every_command_line_in_the_documentation_can_be_typed() -> None:
    lines = [
        line
        for here in pages()
        for language in ("", "sh")
        for block in here.blocks(language)
        for line in block.text.splitlines()
        if line.removeprefix("$ ").startswith("signalbox ")
    ]
    assert len(lines) > 3
    for line in lines:
        words = shlex.split(line.removeprefix("$ "), comments=True)[1:]
        command: click.Command = main
        while isinstance(command, click.Group):
            assert words, line
            assert words[0] in command.commands, line
            command, *words = command.commands[words[0]], *words[1:]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= options, line


# Architecture


def test_the_floors_are_those_that_are_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    floors = [re.findall(r"shared\.(\w+)", layer) for layer in contracts["contracts"][0]["layers"]]
    [shown] = [block.text for block in page("ARCHITECTURE.md").blocks("") if "errors" in block.text]

    assert [sorted(line.split()) for line in shown.splitlines()] == [sorted(f) for f in floors]


def test_every_room_is_in_the_codemap_and_no_other() -> None:
    rooms = {path.stem for path in (ROOT / "shared").iterdir() if not path.name.startswith("__")}

    assert sorted(page("ARCHITECTURE.md").keys("room", "owns")) == sorted(rooms)


def test_whatever_the_rooms_keep_is_on_the_page_about_security() -> None:
    kept = {
        found[0]
        for _, owns in page("ARCHITECTURE.md").table("room", "owns")
        for code in codes(owns)
        # A name in angle brackets is a file that users write.
        if (found := re.match(r"[a-z_-]+(?:/|\.json)", code)) and "<" not in code
    }
    assert {"ledger/", "index.json", "new_blobs/"} <= kept

    assert kept - set(page("docs/security.md").keys("where", "what", "how long")) == set()


# Guarantees


def test_every_number_is_the_code_s() -> None:
    rows = page(GUARANTEES).table("what", "how long, how many", "where")
    assert len(rows) > 5
    for _, number, where in rows:
        module, _, name = codes(where)[0].rpartition(".")
        assert number == _in_words(getattr(importlib.import_module(module), name)), where


def test_the_timer_s_bound_on_scale_is_the_code_s() -> None:
    said = f"| {_in_words(OPEN_BUDGET)} of each minute for open runs, "

    assert said in page("docs/scale.md").text


def _in_words(value: Any) -> str:
    if isinstance(value, timedelta):
        seconds = int(value.total_seconds())
        for unit, size in (("h", 3600), ("min", 60)):
            if seconds % size == 0:
                return f"{seconds // size} {unit}"
        return f"{seconds} s"
    return f"{value:g} s" if isinstance(value, float) else f"{value:,}"


def test_every_test_and_trap_that_is_named_exists() -> None:
    for here in pages():
        for file, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", here.text):
            tree = ast.parse((ROOT / file).read_text())
            assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, (
                f"{here.name}: {file}::{name}"
            )
    named = page(GUARANTEES).keys("trap", "the rule left out")
    assert sorted(named) == sorted(TRAPS)
    of_schedules = page(GUARANTEES).keys("trap of schedules", "the rule left out")
    assert sorted(of_schedules) == sorted(OCCURRENCE_TRAPS)


# Links and names of files


@pytest.mark.parametrize("name", [here.name for here in pages()])
def test_links_lead_somewhere(name: str) -> None:
    here = page(name)
    for link in here.links():
        if link.startswith(("https://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        there = (here.path.parent / path).resolve() if path else here.path
        assert there.exists(), f"{name}: {link}"
        if anchor:
            target = page(str(there.relative_to(ROOT)))
            assert anchor in target.anchors(), f"{name}: {link}"
