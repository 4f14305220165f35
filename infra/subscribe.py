"""After deployment: Event Grid's subscriptions to the functions, or to the queue.

Run by azd (azure.yaml), which hands the outputs of main.bicep over as environment variables; by
hand with `azd hooks run postdeploy`. Needs nothing but Python and the Azure CLI, signed in.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

TEMPLATE = Path(__file__).with_name("subscriptions.bicep")

#: Outputs of main.bicep -> parameters of subscriptions.bicep.
PARAMETERS = {
    "INFRA_FUNCTION_APP_ID": "functionAppId",
    "INFRA_UPLOADS": "uploads",
    "INFRA_RUN_TOPIC_ID": "runTopicId",
    "INFRA_DELIVERY": "delivery",
    "INFRA_EVENTS_QUEUE_ID": "queueId",
    "INFRA_EVENTS_IDENTITY_ID": "identityId",
    "INFRA_DEAD_LETTERS_ID": "deadLettersId",
    "SIGNALBOX_DEPLOYMENT": "deploymentName",
}
#: What azd sets besides.
OTHERS = ("AZURE_SUBSCRIPTION_ID", "AZURE_LOCATION", "SIGNALBOX_URL")
#: May be empty: nothing is watched but the workspace.
OPTIONAL = ("INFRA_UPLOADS",)

#: Functions that subscriptions.bicep names.
FUNCTIONS = ("blob_uploads", "run_events")

#: Seconds. A deployment shows its functions a while after it has ended.
LONGEST_WAIT = 300.0
PAUSE = 10.0


def main() -> int:
    missing = [
        name for name in (*PARAMETERS, *OTHERS) if not os.environ.get(name) and name not in OPTIONAL
    ]
    if missing:
        print(f"Not set: {', '.join(missing)}. Run `azd provision` first.", file=sys.stderr)
        return 1
    az = shutil.which("az")
    if az is None:
        print(
            "The Azure CLI (az) is needed to subscribe to events. Install it, `az login`, then "
            "`azd hooks run postdeploy`.",
            file=sys.stderr,
        )
        return 1
    if os.environ["INFRA_DELIVERY"] == "functions":
        absent = wait_for_functions(az, os.environ)
        if absent:
            print(
                f"The function app has no {' and no '.join(absent)}. `azd deploy`, look at the "
                "app's log stream, then `azd hooks run postdeploy`.",
                file=sys.stderr,
            )
            return 1
    answer = subprocess.run([az, *subscribing(os.environ)], check=False)
    if answer.returncode:
        return answer.returncode
    print(f"Events are subscribed to. Signalbox is {os.environ['SIGNALBOX_URL']}")
    print("Publish your definitions with `signalbox publish FOLDER`: see docs/deploy.md.")
    return 0


def wait_for_functions(az: str, environment: Mapping[str, str]) -> list[str]:
    """The functions that are not there although they were waited for."""
    until = time.monotonic() + LONGEST_WAIT
    absent = list(FUNCTIONS)
    while True:
        absent = [name for name in absent if not _is_there(az, environment, name)]
        if not absent or time.monotonic() > until:
            return absent
        time.sleep(PAUSE)


def _is_there(az: str, environment: Mapping[str, str], function: str) -> bool:
    id = f"{environment['INFRA_FUNCTION_APP_ID']}/functions/{function}"
    shown = subprocess.run(
        [az, "resource", "show", "--ids", id, "--api-version", "2024-04-01", "--output", "none"],
        check=False,
        stderr=subprocess.DEVNULL,
    )
    return shown.returncode == 0


def subscribing(environment: Mapping[str, str]) -> list[str]:
    """What is asked of the Azure CLI."""
    location = environment["AZURE_LOCATION"]
    return [
        *("deployment", "sub", "create"),
        # Azure keeps deployments by name, each at one location.
        *("--name", f"signalbox-{environment['SIGNALBOX_DEPLOYMENT']}-{location}"),
        *("--subscription", environment["AZURE_SUBSCRIPTION_ID"]),
        *("--location", location),
        *("--template-file", str(TEMPLATE)),
        *("--output", "none"),
        "--parameters",
        *(f"{name}={environment.get(output, '')}" for output, name in PARAMETERS.items()),
    ]


if __name__ == "__main__":
    sys.exit(main())
