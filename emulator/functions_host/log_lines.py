"""Log lines of the functions host: time, level, logger, message, then extra fields as JSON."""

import json
import logging
import sys
from datetime import UTC, datetime

from azure_functions_runtime import invocation_id_cv

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class LineFormatter(logging.Formatter):
    """One line for each record; a traceback follows it, indented."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        message = record.getMessage().replace("\n", "\\n")
        line = f"{time} {record.levelname} {record.name} {message}"
        fields = {k: v for k, v in vars(record).items() if k not in _STANDARD}
        stack = str(fields.pop("stack", ""))
        invocation = invocation_id_cv.get()
        if invocation and "invocation" not in fields:
            fields["invocation"] = invocation
        if fields:
            line += " " + json.dumps(fields, default=str, ensure_ascii=False)
        if record.exc_info:
            stack += self.formatException(record.exc_info)
        if stack:
            line += "\n    " + "\n    ".join(stack.splitlines())
        return line


def configure_logging() -> None:
    """Write everything from level INFO to standard output."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # the worker library's two lines for each invocation repeat what the host says
    logging.getLogger("azure.functions").setLevel(logging.WARNING)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    # the host says once that a broker is lost; its client says so many times over
    logging.getLogger("azure.servicebus").setLevel(logging.CRITICAL)
