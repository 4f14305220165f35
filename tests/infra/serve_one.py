"""`python serve_one.py APP PLATFORM FUNCTION EVENT`: one event, as Azure's worker serves it.

Runs where the package is unpacked, with its requirements alone: it knows nothing of the project
but what the two folders hold. Prints what happened as JSON.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any


async def main(app: str, function: str, event: str) -> dict[str, Any]:
    from emulator.functions_host import protos
    from emulator.functions_host.worker import Worker

    began = time.perf_counter()
    worker = await Worker.load(Path(app), timeout=None)
    loaded = time.perf_counter() - began
    data = protos.TypedData(json=event)
    outcome = await worker.invoke(worker.functions[function], data, reason="a test")
    return {
        "functions": sorted(worker.functions),
        "seconds": loaded,
        "succeeded": outcome.succeeded,
        "error": outcome.error,
        "from": {
            name: getattr(sys.modules.get(name), "__file__", None)
            for name in ("shared.dispatcher", "azure.identity", "pydantic")
        },
    }


if __name__ == "__main__":
    application, platform, called, content = sys.argv[1:]
    # Isolated (-I), so that this file's own folder is on no path; the app goes before the platform.
    sys.path.insert(0, platform)
    told = asyncio.run(main(application, called, content))
    print(json.dumps(told), flush=True)
