"""Counts a day's uploads: the manifest has a line for each, with its event and its captures."""

import json
import sys
from pathlib import Path

manifest, day, report = sys.argv[1:]
lines = [json.loads(line) for line in Path(manifest).read_text().splitlines()]
found = {
    "day": day,
    "files": len(lines),
    "bytes": sum(line["event"]["data"]["contentLength"] for line in lines),
    "shops": sorted({line["captures"]["shop"] for line in lines}),
}
print(f"{found['files']} files of {day}, {found['bytes']} bytes")
Path(report, "report.json").write_text(json.dumps(found))
