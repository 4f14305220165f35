"""Run by the interpreter of a parallel step: the entry script over the files of its input.

A program of its own, which needs nothing but the standard library:
`mini_batches.py ENTRY_SCRIPT INPUT SIZE RETRIES APPEND [ARGUMENTS…]`, with `-` for no APPEND.
"""

import importlib.util
import sys
from pathlib import Path

_APPENDED = "parallel_run_step.txt"


def main() -> None:
    script, data, size, retries, append = sys.argv[1:6]
    sys.argv = [script, *sys.argv[6:]]
    # the folder of this program holds modules that are none of the entry script's business
    sys.path[0] = str(Path.cwd())
    spec = importlib.util.spec_from_file_location(Path(script).stem, script)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{script} is not a Python file")
    entry = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(entry)
    if hasattr(entry, "init"):
        entry.init()
    files = [str(path) for path in sorted(Path(data).rglob("*")) if _is_data(path)]
    rows: list[object] = []
    for start in range(0, len(files), int(size)):
        rows += _attempts(entry.run, files[start : start + int(size)], int(retries))
    if hasattr(entry, "shutdown"):
        entry.shutdown()
    if append != "-":
        target = Path(append)
        target = target / _APPENDED if target.is_dir() else target
        target.write_text("".join(f"{row}\n" for row in rows))


def _is_data(path: Path) -> bool:
    return path.is_file() and path.name != "MLTable"


def _attempts(run, batch: list[str], retries: int) -> list[object]:  # type: ignore[no-untyped-def]
    """The rows of one mini-batch, tried again as often as the step says."""
    for left in range(retries, -1, -1):
        try:
            return list(run(batch) or [])
        except Exception as error:
            if not left:
                raise
            print(f"mini-batch failed, {left} attempts left: {error!r}", file=sys.stderr)
    raise AssertionError("the last attempt returns or raises")


if __name__ == "__main__":
    main()
