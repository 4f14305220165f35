"""What asking for a run can be answered with."""

from emulator.azureml.errors import NotFound


class RunNotFound(NotFound):
    """A run that never was."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Run {name} was not found.")
