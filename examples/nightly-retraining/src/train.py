"""Stands for a training: reads the manifest, and writes down what a model would be made of."""

import json
import sys
from pathlib import Path

manifest, since, until, model = sys.argv[1:]
lines = [json.loads(line) for line in Path(manifest).read_text().splitlines()]
found = {
    "window": [since, until],
    "files": [line["event"]["data"]["url"] for line in lines],
    "sites": sorted({line["captures"]["site"] for line in lines}),
}
print(f"{len(lines)} new files of {', '.join(found['sites'])}, in the window {since} to {until}")
Path(model, "model.json").write_text(json.dumps(found))
