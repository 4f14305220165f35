"""The hook after deployment, with an Azure CLI that writes down what it is asked."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from infra import subscribe
from tests.infra.bicep import ROOT

_ENVIRONMENT = {
    **{name: f"/{name.lower()}" for name in subscribe.PARAMETERS},
    "INFRA_DELIVERY": "functions",
    "INFRA_UPLOADS": "/topic=landing,/topic=raw",
    "AZURE_SUBSCRIPTION_ID": "s",
    "AZURE_LOCATION": "westeurope",
    "SIGNALBOX_URL": "https://func.azurewebsites.net",
}


@pytest.fixture
def az(tmp_path: Path) -> Path:
    """A folder with `az`, which ends with the code in `code` and keeps what it was asked."""
    script = tmp_path / "az"
    script.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\nexit $(cat {tmp_path}/code)\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "code").write_text("0")
    return tmp_path


def _run(folder: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{folder}{os.pathsep}/usr/bin:/bin", **_ENVIRONMENT, **changes}
    return subprocess.run(
        [sys.executable, str(ROOT / "infra/subscribe.py")],
        env={name: value for name, value in environment.items() if value != "unset"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def _asked(az: Path) -> list[str]:
    return (az / "asked").read_text().splitlines()


def test_waits_for_the_functions_and_then_subscribes(az: Path) -> None:
    ended = _run(az)

    assert ended.returncode == 0, ended.stderr
    *looks, deployment = _asked(az)
    assert [re.findall(r"/functions/(\w+)", look) for look in looks] == [
        ["blob_uploads"],
        ["run_events"],
    ]
    assert deployment.startswith("deployment sub create ")
    assert "uploads=/topic=landing,/topic=raw" in deployment
    assert "delivery=functions" in deployment
    assert "signalbox publish" in ended.stdout


def test_events_for_the_queue_wait_for_no_function(az: Path) -> None:
    assert _run(az, INFRA_DELIVERY="queue").returncode == 0
    [deployment] = _asked(az)
    assert "delivery=queue" in deployment


def test_nothing_but_the_workspace_may_be_watched(az: Path) -> None:
    assert _run(az, INFRA_UPLOADS="").returncode == 0


def test_a_deployment_that_fails_fails_azd(az: Path) -> None:
    (az / "code").write_text("3")

    assert _run(az, INFRA_DELIVERY="queue").returncode == 3


def test_names_everything_that_is_missing(az: Path) -> None:
    ended = _run(az, INFRA_RUN_TOPIC_ID="unset", SIGNALBOX_URL="")

    assert ended.returncode == 1
    assert "INFRA_RUN_TOPIC_ID" in ended.stderr
    assert "SIGNALBOX_URL" in ended.stderr
    assert "azd provision" in ended.stderr


def test_says_that_the_azure_cli_is_needed(tmp_path: Path) -> None:
    ended = _run(tmp_path, PATH=str(tmp_path))

    assert ended.returncode == 1
    assert "az login" in ended.stderr


def test_says_which_function_never_came(
    az: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (az / "code").write_text("1")
    monkeypatch.setattr(subscribe, "LONGEST_WAIT", 0.0)
    monkeypatch.setattr(subscribe, "PAUSE", 0.0)
    monkeypatch.setenv("PATH", f"{az}{os.pathsep}/usr/bin:/bin")
    for name, value in _ENVIRONMENT.items():
        monkeypatch.setenv(name, value)

    assert subscribe.main() == 1
    assert "no blob_uploads and no run_events" in capsys.readouterr().err


def test_azd_runs_it_after_deployment() -> None:
    said = yaml.safe_load((ROOT / "azure.yaml").read_text())

    assert said["services"] == {"api": {"project": ".", "language": "python", "host": "function"}}
    assert set(said["hooks"]) == {"postdeploy"}
    for system, shell in (("posix", "sh"), ("windows", "pwsh")):
        hook = said["hooks"]["postdeploy"][system]
        assert hook["shell"] == shell
        assert (ROOT / hook["run"].split()[1]).samefile(subscribe.__file__)
    # azd finds the function app by this tag.
    assert "'azd-service-name': 'api'" in (ROOT / "infra/modules/app.bicep").read_text()
