"""Known vulnerabilities of what is pinned: asked of PyPI or OSV, and of npm. Run by `make audit`.

Ends with 1 when what is deployed has one that is not accepted, with 2 when nobody could be asked
about all of it: no answer is no all-clear. What only developers install is told as well.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

#: What Azure installs.
DEPLOYED = "requirements.txt"
#: What only developers and CI install.
TOOLS = ("requirements-dev.txt", "requirements-lint.txt", "requirements-audit.txt")

#: Id of a vulnerability -> why it may stay in what is deployed, and until when.
ACCEPTED: dict[str, str] = {}

#: Asked in this order, until one knows every package.
SERVICES = ("pypi", "osv")
#: Seconds.
_TIMEOUT = 300


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A vulnerability of a pinned package."""

    package: str
    id: str
    #: What to do about it.
    remedy: str

    def __str__(self) -> str:
        return f"{self.package}: {self.id}; {self.remedy}"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was found out about one list of pins."""

    #: The list's file.
    of: str
    #: How many packages were asked about, with an answer.
    known: int = 0
    findings: tuple[Finding, ...] = ()
    #: Why some or all of them could not be asked about; None when there was an answer for each.
    silence: str | None = None


def pip_answer(of: str, output: str, said: str) -> Answer:
    """What pip-audit's JSON says. It passes over, with success, what its service does not know."""
    try:
        packages: list[dict[str, Any]] = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return Answer(of=of, silence=_last_line(said) or "pip-audit said nothing")
    skipped = [package for package in packages if "skip_reason" in package]
    known = [package for package in packages if "skip_reason" not in package]
    findings = tuple(
        Finding(
            package=f"{package['name']} {package['version']}",
            id=_known_as(one),
            remedy=_fixed_in(one.get("fix_versions") or []),
        )
        for package in known
        for one in package["vulns"]
    )
    silence = None
    if skipped or not packages:
        silence = f"no answer for {len(skipped)} of {len(packages)} packages"
        silence += f", such as {skipped[0]['name']}: {skipped[0]['skip_reason']}" if skipped else ""
    return Answer(of=of, known=len(known), findings=findings, silence=silence)


def npm_answer(of: str, output: str, said: str) -> Answer:
    """What npm's JSON says."""
    content: dict[str, Any] = {}
    try:
        content = json.loads(output)
        total = content["metadata"]["dependencies"]["total"]
        wrong: dict[str, dict[str, Any]] = content["vulnerabilities"]
    except (ValueError, KeyError, TypeError):
        why = content.get("message") if isinstance(content, dict) else None
        return Answer(of=of, silence=str(why or _last_line(said) or "npm said nothing"))
    findings = tuple(
        Finding(
            package=name,
            id=f"{one['severity']}, {', '.join(_advisories(one['via'])) or 'through others'}",
            remedy="`npm audit fix`, or a newer Azurite" if one.get("fixAvailable") else "no fix",
        )
        for name, one in sorted(wrong.items())
    )
    return Answer(of=of, known=total, findings=findings)


def verdict(answers: Iterable[Answer]) -> tuple[list[str], int]:
    """What is told, and how the program ends."""
    lines: list[str] = []
    failed = silent = False
    for answer in answers:
        deployed = answer.of == DEPLOYED
        for finding in answer.findings:
            why = ACCEPTED.get(finding.id.partition(" ")[0])
            failed = failed or (deployed and why is None)
            weight = f"accepted, {why}" if why else "deployed" if deployed else "for development"
            lines.append(f"{answer.of}: {finding} ({weight})")
        if answer.silence:
            silent = True
            lines.append(f"{answer.of}: COULD NOT BE ASKED ABOUT: {answer.silence}")
        elif not answer.findings:
            lines.append(f"{answer.of}: nothing is known against its {answer.known} packages")
    if silent:
        lines.append("What could not be asked about is not cleared: run this where they answer.")
    return lines, 1 if failed else 2 if silent else 0


def _advisories(via: Sequence[Any]) -> list[str]:
    return [str(one.get("url") or one.get("title")) for one in via if isinstance(one, dict)]


def _known_as(one: dict[str, Any]) -> str:
    others = [name for name in one.get("aliases") or [] if name.startswith("CVE-")]
    return f"{one['id']} ({', '.join(others)})" if others else str(one["id"])


def _fixed_in(versions: Sequence[str]) -> str:
    if not versions:
        return "no version mends it yet"
    return f"mended in {', '.join(versions)}: raise it in pyproject.toml, `make lock`"


def _last_line(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


def _run(command: Sequence[str | Path]) -> tuple[str, str]:
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=_TIMEOUT
        )
    except subprocess.TimeoutExpired:
        return "", f"no answer within {_TIMEOUT} s"
    return done.stdout, done.stderr


def _python(name: str) -> Answer:
    tool = ROOT / ".audit/bin/pip-audit"
    options = ["--require-hashes", "--disable-pip", "--progress-spinner=off", "--format=json"]
    said: list[str] = []
    for service in SERVICES:
        answer = pip_answer(
            name, *_run([tool, *options, "--requirement", name, "--vulnerability-service", service])
        )
        if answer.silence is None:
            return answer
        said.append(f"{service}: {answer.silence}")
        if answer.findings:
            break
    return Answer(of=name, known=answer.known, findings=answer.findings, silence="; ".join(said))


def _npm() -> Answer:
    npm = shutil.which("npm")
    if npm is None:
        return Answer(of="package-lock.json", silence="there is no npm: `make setup` installs it")
    return npm_answer("package-lock.json", *_run([npm, "audit", "--json"]))


def main() -> int:
    lines, code = verdict([*(_python(name) for name in (DEPLOYED, *TOOLS)), _npm()])
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main())
