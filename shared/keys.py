"""Keys that steps, components and settings of pipelines have, and what is said of others."""

import difflib
from collections.abc import Iterator
from typing import Any

from shared.documents import Document, Place
from shared.errors import Problem

_COMMON = {"type", "name", "component", "display_name", "experiment_name", "description", "tags"}
_COMMON |= {"properties", "inputs", "outputs", "compute", "identity", "services"}
#: Of a pipeline. Source: AzureML CLI v2 pipelineJob and commandJob schemas.
SETTINGS = frozenset(
    {"default_compute", "default_datastore", "continue_on_step_failure", "force_rerun"}
    | {"on_init", "on_finalize"}
)
#: Of steps that are commands.
STEP = frozenset(
    _COMMON
    | {"command", "code", "environment", "environment_variables", "resources", "limits"}
    | {"distribution", "queue_settings", "is_deterministic", "comment"}
)
#: Of components and of steps that are none of commands; others are sent as they are.
#: Source: AzureML CLI v2 component schemas.
_OTHER = STEP | frozenset(
    {"$schema", "version", "id", "auto_delete_setting", "additional_includes", "jobs", "task"}
    | {"input_data", "mini_batch_size", "mini_batch_error_threshold", "error_threshold"}
    | {"logging_level", "max_concurrency_per_instance", "partition_keys", "retry_settings"}
    | {"entry", "args", "conf", "files", "archives", "jars", "py_files", "trial", "objective"}
    | {"search_space", "sampling_algorithm", "early_termination", "source", "output"}
    | {"data_copy_mode", "sink", "flow"}
)


def unknown(step: dict[str, Any]) -> set[str]:
    """Keys of a command spelled out in its step that are not known: the SDK refuses the step."""
    spelled = step.get("type", "command") == "command" and "component" not in step
    return step.keys() - STEP if spelled else set()


def ignored(
    document: Document, place: Place, content: dict[str, Any], known: frozenset[str]
) -> Iterator[Problem]:
    """Keys that are not known and that the SDK leaves out."""
    for key in content.keys() - known:
        message = f"{key!r} is not known and ignored by AzureML; {instead(key, known)}"
        yield document.problem((*place, key), message)


def misspelt(document: Document, place: Place, content: dict[str, Any]) -> Iterator[Problem]:
    """Keys that look like others. AzureML is sent what is not known, and does nothing with it."""
    for key in content.keys() - _OTHER:
        if meant := difflib.get_close_matches(key, _OTHER, n=1, cutoff=0.8):
            yield document.problem((*place, key), f"{key!r} is not known; {meant[0]!r} is")


def instead(key: str, known: frozenset[str]) -> str:
    """Which key is meant by one that is not known, or all there are."""
    meant = difflib.get_close_matches(key, known, n=1, cutoff=0.8)
    return f"{meant[0]!r} is" if meant else f"known are {', '.join(sorted(known))}"
