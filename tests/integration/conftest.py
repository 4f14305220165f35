"""The local Azure that integration tests talk to with the official SDKs."""

import os
from collections.abc import Iterator

import pytest

from emulator.stack import LocalAzure


@pytest.fixture(scope="session")
def local_azure() -> Iterator[LocalAzure]:
    """A local Azure without a function app, its environment exported for the session."""
    with LocalAzure() as azure:
        before = {name: os.environ.get(name) for name in azure.environment}
        os.environ.update(azure.environment)
        yield azure
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
