"""What asking for a schedule can be answered with."""

from emulator.azureml.errors import NotFound, ServiceError, UserError


class ScheduleNotFound(NotFound):
    """A schedule that the workspace does not have."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Schedule {name} not found.")


class BadSchedule(UserError):
    """A schedule that cannot be."""

    def __init__(self, message: str, *codes: str) -> None:
        super().__init__(message, inner=("BadArgument", *(codes or ("InvalidSchedule",))))


class InvalidTrigger(BadSchedule):
    """A trigger that says no times, or not in the service's way."""

    def __init__(self, message: str) -> None:
        super().__init__(f"Invalid trigger definition, details: {message}", "InvalidTrigger")


class InvalidJobsOverride(BadSchedule):
    """A body that names a submitted job and carries steps (azure-sdk-for-python#40288)."""

    def __init__(self, source: str) -> None:
        super().__init__(
            f"Invalid jobs override for pipeline job since source job {source} is specified.",
            "ArgumentInvalid",
            "InvalidPipelineJob",
            "InvalidJobsOverride",
        )


class ScheduleEnabled(BadSchedule):
    """A deletion of what still fires."""

    def __init__(self, name: str) -> None:
        super().__init__(f"The schedule {name} is enabled. Disable it before it is deleted.")


class ScheduleDisabled(BadSchedule):
    """Asked to run once, though it does not run."""

    def __init__(self, name: str) -> None:
        super().__init__(f"The schedule {name} is disabled. Only an enabled one can be triggered.")


class ScheduleBusy(ServiceError):
    """A change while the one before it is still under way."""

    def __init__(self, name: str, state: str) -> None:
        super().__init__(
            409,
            "Conflict",
            f"The schedule {name} cannot be changed while it is in state {state}.",
            inner=("Conflict", "ScheduleOperationConflict"),
        )
