"""What is deployed besides our own code: its licences, and who watches for newer versions."""

import re
from importlib import metadata

import pytest
import yaml

from tests.infra.bicep import ROOT

#: Licences that ask for nothing but their text; MPL-2.0 also for changes to its own files.
ALLOWED = {
    *("MIT", "MIT-0", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "ISC", "PSF-2.0", "MPL-2.0"),
}
#: Other words for them.
_ALSO = {
    "MIT License": "MIT",
    "BSD License": "BSD-3-Clause",
    "Apache Software License": "Apache-2.0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}


def _deployed() -> list[str]:
    # What is only for Windows is not installed where this runs.
    lines = [
        line
        for line in (ROOT / "requirements.txt").read_text().splitlines()
        if "win32" not in line and "Windows" not in line
    ]
    return [found[1] for line in lines if (found := re.match(r"([a-z0-9][\w.-]*)==", line))]


def _licences(package: str) -> set[str]:
    """SPDX identifiers, whichever of three places a package says them in."""
    said = metadata.metadata(package)
    text = said.get("License-Expression") or said.get("License") or ""
    if len(text) > 100 or not text:
        # The text of the licence, or none: the classifiers say which it is.
        found = [
            line.rpartition(" :: ")[2]
            for line in said.get_all("Classifier") or []
            if line.startswith("License :: ")
        ]
    else:
        found = re.split(r" (?:AND|OR|WITH) ", text)
    return {_ALSO.get(name.strip("() "), name.strip("() ")) for name in found}


def test_the_deployed_packages_are_found() -> None:
    assert {"azure-ai-ml", "fastapi", "pydantic"} <= set(_deployed())


@pytest.mark.parametrize("package", _deployed())
def test_what_is_deployed_has_a_licence_that_surprises_nobody(package: str) -> None:
    licences = _licences(package)

    assert licences, f"{package} names no licence"
    assert licences <= ALLOWED, f"{package} is under {', '.join(licences - ALLOWED)}"


def test_newer_versions_are_proposed_for_everything_that_is_pinned() -> None:
    said = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())
    watched = {one["package-ecosystem"]: one for one in said["updates"]}

    assert said["version"] == 2
    assert set(watched) == {"pip", "npm", "github-actions"}
    for one in watched.values():
        assert one["directory"] == "/"
        assert one["schedule"]["interval"] == "weekly"
        assert one["cooldown"]["default-days"] >= 7
