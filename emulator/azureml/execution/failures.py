"""How a step can end early."""


class StepFailure(Exception):
    """The step failed; `code` is UserError for what its author can mend, else SystemError."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class StepStopped(Exception):
    """The step was told to stop."""
