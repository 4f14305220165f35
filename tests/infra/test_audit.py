"""What the audit makes of answers, and of silence; nobody is asked."""

import json
from typing import Any

import pytest

from infra import audit
from infra.audit import Answer, npm_answer, pip_answer, verdict

SOUND = {"name": "idna", "version": "3.20", "vulns": []}
#: As pip-audit 2.10 writes it.
WEAK = {
    "name": "jinja2",
    "version": "2.4.1",
    "vulns": [
        {
            "id": "PYSEC-2019-217",
            "fix_versions": ["2.10.1"],
            "aliases": ["CVE-2019-10906", "GHSA-462w-v97r-4m45"],
            "description": "A sandbox escape.",
        }
    ],
}
UNKNOWN = {"name": "mine", "skip_reason": "Dependency not found on PyPI and could not be audited"}


def asked(*packages: Any, of: str = "requirements.txt") -> Answer:
    return pip_answer(of, json.dumps({"dependencies": packages, "fixes": []}), "")


def test_nothing_known_is_said_with_how_much_was_asked() -> None:
    lines, code = verdict([asked(SOUND)])

    assert lines == ["requirements.txt: nothing is known against its 1 packages"]
    assert code == 0


def test_what_is_deployed_and_vulnerable_fails() -> None:
    lines, code = verdict([asked(SOUND, WEAK)])

    assert code == 1
    assert lines == [
        "requirements.txt: jinja2 2.4.1: PYSEC-2019-217 (CVE-2019-10906); mended in 2.10.1: raise "
        "it in pyproject.toml, `make lock` (deployed)"
    ]


def test_what_only_developers_install_is_told() -> None:
    lines, code = verdict([asked(WEAK, of="requirements-dev.txt")])

    assert "for development" in lines[0]
    assert code == 0


def test_what_was_accepted_is_told_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(audit.ACCEPTED, "PYSEC-2019-217", "no templates here")
    lines, code = verdict([asked(WEAK)])

    assert "accepted, no templates here" in lines[0]
    assert code == 0


def test_a_service_that_does_not_know_the_packages_has_not_cleared_them() -> None:
    """pip-audit ends with 0 and «No known vulnerabilities found» when it passed over everything."""
    lines, code = verdict([asked(SOUND, UNKNOWN)])

    assert code == 2
    assert "COULD NOT BE ASKED ABOUT: no answer for 1 of 2 packages, such as mine" in lines[0]
    assert "not cleared" in lines[-1]


def test_a_finding_outweighs_silence() -> None:
    assert verdict([asked(WEAK, UNKNOWN)])[1] == 1


@pytest.mark.parametrize("output", ["", "null", "[]", "{}", '{"dependencies": []}'])
def test_no_answer_is_no_all_clear(output: str) -> None:
    said = "Traceback\nConnectionError: api.osv.dev cannot be resolved\n"
    for answer in (pip_answer("requirements.txt", output, said), npm_answer("lock", output, said)):
        assert answer.silence
        assert verdict([answer])[1] == 2


def test_npm_says_what_went_wrong() -> None:
    refused = {"message": "405 Method Not Allowed - POST …/advisories/bulk", "statusCode": 405}
    answer = npm_answer("package-lock.json", json.dumps(refused), "npm error A complete log …")

    assert answer.silence == refused["message"]


def test_npm_s_findings_are_told() -> None:
    report = {
        "auditReportVersion": 2,
        "vulnerabilities": {
            "tar": {
                "name": "tar",
                "severity": "high",
                "via": [
                    {"title": "Overwrites files", "url": "https://github.com/advisories/GHSA-1"}
                ],
                "fixAvailable": True,
            },
            "azurite": {
                "name": "azurite",
                "severity": "high",
                "via": ["tar"],
                "fixAvailable": False,
            },
        },
        "metadata": {"dependencies": {"total": 300}},
    }
    lines, code = verdict([npm_answer("package-lock.json", json.dumps(report), "")])

    assert code == 0
    assert lines[0].startswith("package-lock.json: azurite: high, through others; no fix")
    assert "tar: high, https://github.com/advisories/GHSA-1; `npm audit fix`" in lines[1]


def test_everything_that_is_pinned_is_asked_about() -> None:
    pinned = {path.name for path in audit.ROOT.glob("requirements*.txt")}

    assert {audit.DEPLOYED, *audit.TOOLS} == pinned
