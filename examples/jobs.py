"""What the AzureML workspace has: `python -m examples.jobs` shows its jobs and their steps.

In a shell that knows the local Azure; `make run` says how.
"""

import os
import sys
from typing import TYPE_CHECKING

from azure.core.exceptions import AzureError

if TYPE_CHECKING:
    from azure.ai.ml import MLClient


def workspace() -> "MLClient":
    """The stock client of the workspace that the app settings name."""
    # Importing the SDK takes a second: whoever calls this has shown something before.
    from azure.ai.ml import MLClient
    from azure.identity import DefaultAzureCredential

    return MLClient(
        DefaultAzureCredential(),
        os.environ["SIGNALBOX_SUBSCRIPTION_ID"],
        os.environ["SIGNALBOX_RESOURCE_GROUP"],
        os.environ["SIGNALBOX_WORKSPACE"],
    )


def main() -> int:
    try:
        jobs = workspace().jobs
        for job in jobs.list():
            # An enum for a job, plain text for a step.
            print(f"{job.name}  {getattr(job.status, 'value', job.status)}  {job.display_name}")
            # The newest child comes first.
            for step in reversed(list(jobs.list(parent_job_name=job.name))):
                print(f"    {step.display_name:16} {step.status}")
    except KeyError as error:
        print(f"{error} is not set: use the shell that `make run` describes", file=sys.stderr)
        return 2
    except AzureError as error:
        print(f"The jobs cannot be listed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
