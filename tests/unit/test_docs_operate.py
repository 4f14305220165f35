"""The runbook: there is a way out of every alert, by its name."""

import re

from tests.unit.pages import ROOT, codes, page

OPERATE = page("docs/operate.md")


def alerts() -> set[str]:
    text = (ROOT / "infra/modules/alerts.bicep").read_text()
    found = set(re.findall(r"^    name: '([a-z-]+)'$", text, re.MULTILINE))
    metrics = set(re.findall(r"name: 'signalbox-([a-z-]+)-\$\{token\}'$", text, re.MULTILINE))
    return found | metrics


def test_every_alert_has_a_runbook_and_a_line_in_the_table() -> None:
    rows = page("docs/deploy.md").table("alert", "fires when")

    assert len(alerts()) > 5
    assert alerts() == {codes(name)[0] for name, _ in rows}
    runbooks = [name for name in OPERATE.headings() if name in alerts()]
    assert sorted(runbooks) == sorted(alerts())


def test_each_says_what_it_means_and_what_to_do() -> None:
    parts = dict(
        re.findall(r"^## ([a-z-]+)\n(.*?)(?=^## )", OPERATE.text, re.MULTILINE | re.DOTALL)
    )

    for name in alerts():
        assert "**Means**" in parts[name], name
        assert "**Do**" in parts[name], name


def test_logs_are_asked_for_what_is_logged() -> None:
    sources = [*(ROOT / "shared").glob("**/*.py"), *(ROOT / "functions").glob("*.py")]
    written = "".join(file.read_text() for file in sources)
    asked = re.findall(r'customDimensions\.action\) == "(\w+)"', OPERATE.text)

    assert asked
    assert [action for action in asked if f'"{action}"' not in written] == []
    for function in re.findall(r'(?:operation_Name|name) == "(\w+)"', OPERATE.text):
        assert (ROOT / f"functions/{function}.py").exists() or f'"{function}"' in written, function
