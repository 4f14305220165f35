"""The computes of the workspace as Azure has them: looked at, created, started, not waited for."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import yaml
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from shared import roles
from shared.compute_definitions import ComputeDefinition
from shared.compute_plans import Target
from shared.errors import WorkspaceUnavailable
from shared.workspace import require_workspace, translated


class AzureTargets:
    """Targets through the public SDK."""

    #: `client` gives the one MLClient of the process.
    def __init__(self, client: Callable[[], Any]) -> None:
        self._client = client

    def find(self, name: str) -> Target | None:
        with _asked_for(name):
            try:
                found = self._client().compute.get(name)
            except ResourceNotFoundError as error:
                require_workspace(error)
                return None
            text = io.StringIO()
            found.dump(text)
            return target(found, yaml.safe_load(text.getvalue()) or {})

    def create(self, definition: ComputeDefinition) -> None:
        client = self._client()
        from azure.ai.ml import load_compute

        with _asked_for(definition.name):
            text = yaml.safe_dump(definition.content, sort_keys=False)
            # What it returns would be waited on by who wants to; the tick looks instead.
            client.compute.begin_create_or_update(load_compute(io.StringIO(text)))

    def start(self, name: str) -> None:
        with _asked_for(name):
            self._client().compute.begin_start(name)


def target(found: Any, settings: dict[str, Any]) -> Target:
    """What the SDK read, in our words."""
    errors = getattr(found, "provisioning_errors", None)
    state = getattr(found, "state", None)
    provisioning = found.provisioning_state
    return Target(
        type=str(found.type).lower(),
        # The SDK gives what it knows as an enum.
        provisioning=str(getattr(provisioning, "value", provisioning) or "Succeeded"),
        state=str(getattr(state, "value", state)) if state else None,
        problem=_said(errors) or _last_failure(found),
        settings={key: value for key, value in settings.items() if value is not None},
    )


def _said(errors: Any) -> str | None:
    """The messages of provisioning errors, however the SDK holds them."""
    if not errors:
        return None
    if isinstance(errors, str):
        return errors
    texts = []
    for each in errors if isinstance(errors, list) else [errors]:
        inner = getattr(each, "error", None) or (
            each.get("error", each) if isinstance(each, dict) else each
        )
        message = inner.get("message") if isinstance(inner, dict) else None
        texts.append(str(message or getattr(inner, "message", None) or inner))
    return "; ".join(texts)


def _last_failure(found: Any) -> str | None:
    """How the last operation of an instance ended, such as StartFailed; None when it did well."""
    last = getattr(found, "last_operation", None)
    status = last.get("operationStatus") if isinstance(last, dict) else None
    return str(status) if str(status).endswith("Failed") else None


@contextmanager
def _asked_for(name: str) -> Iterator[None]:
    try:
        with translated(f"compute {name!r}"):
            yield
    except WorkspaceUnavailable as error:
        refusal = error.__cause__
        if not isinstance(refusal, HttpResponseError) or refusal.status_code != 403:
            raise
        said = str(getattr(refusal.error, "message", None) or refusal.message).rstrip(". ")
        raise WorkspaceUnavailable(
            f"AzureML answered 403 for compute {name!r}: {said}. {roles.give(roles.COMPUTES)}"
        ) from refusal
