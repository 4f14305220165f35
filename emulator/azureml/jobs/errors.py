"""What submitting and finding jobs can be answered with."""

from collections.abc import Sequence

from emulator.azureml.errors import NotFound, UserError


class JobNotFound(NotFound):
    """A job that never was."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Job {name} not found.")


class BadJobName(UserError):
    """A name that no job can have."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The job name '{name}' is not valid. It must have 1 to 255 characters, which can be "
            "letters, digits, underscores and hyphens.",
            inner=("BadArgument", "InvalidJobName"),
        )


class JobImmutable(UserError):
    """A PUT on an existing job that would change what it is."""

    def __init__(self, differing: Sequence[str]) -> None:
        super().__init__(
            "A job with this name already exists. If you are trying to create a new job, use a "
            "different name. If you are trying to update an existing job, the existing job's "
            f"{', '.join(differing)} cannot be changed. Only description, tags, displayName, "
            "properties, and isArchived can be updated.",
            inner=("Immutable", "JobPropertyImmutable"),
        )


class MissingInput(UserError):
    """A required input that the job does not give."""

    def __init__(self, name: str, job: str) -> None:
        super().__init__(
            f"Required input '{name}' for {job} is not provided.",
            inner=("BadArgument", "MissingInput"),
        )


class UnknownInput(UserError):
    """An input that the component does not have."""

    def __init__(self, name: str, job: str, known: Sequence[str]) -> None:
        super().__init__(
            f"Unknown input '{name}' for {job}. It has: {', '.join(sorted(known)) or 'none'}.",
            inner=("BadArgument", "UnknownInput"),
        )


class UnknownOutput(UserError):
    """An output that the component does not have."""

    def __init__(self, name: str, job: str, known: Sequence[str]) -> None:
        super().__init__(
            f"Unknown output '{name}' for {job}. It has: {', '.join(sorted(known)) or 'none'}.",
            inner=("BadArgument", "UnknownOutput"),
        )
