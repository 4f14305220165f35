"""Hand on the best candidate, if it is good enough to screen with."""

import argparse
import json
import shutil
import sys
from pathlib import Path

Scores = dict[str, dict[str, float]]


def best(candidates: Scores, metric: str, minimum_sensitivity: float) -> str | None:
    """The algorithm that is best by the metric among those sensitive enough, or None."""
    able = [
        algorithm
        for algorithm, metrics in candidates.items()
        if metrics["sensitivity"] >= minimum_sensitivity
    ]
    return max(able, key=lambda algorithm: candidates[algorithm][metric], default=None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", type=Path, required=True)
    parser.add_argument("--candidates", type=Path, nargs="+", required=True)
    parser.add_argument("--site", required=True)
    parser.add_argument("--metric", default="roc_auc")
    parser.add_argument("--minimum-sensitivity", type=float, default=0.85)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--report", type=Path, required=True)
    args = parser.parse_args()

    scores = json.loads(args.scores.read_text())
    candidates: Scores = scores["candidates"]
    selected = best(candidates, args.metric, args.minimum_sensitivity)
    if selected is None:
        reached = ", ".join(
            f"{algorithm} {metrics['sensitivity']}" for algorithm, metrics in candidates.items()
        )
        sys.exit(
            f"No model for {args.site}: sensitivity {args.minimum_sensitivity} is asked for, "
            f"reached were {reached}"
        )

    folders = {
        json.loads((folder / "model.json").read_text())["algorithm"]: folder
        for folder in args.candidates
    }
    shutil.copytree(folders[selected], args.model, dirs_exist_ok=True)
    report = {"site": args.site, "selected": selected, "selected_by": args.metric, **scores}
    args.report.mkdir(parents=True, exist_ok=True)
    (args.report / "metrics.json").write_text(json.dumps(report, indent=2) + "\n")
    print(f"{args.site}: {selected}, {args.metric} {candidates[selected][args.metric]}")


if __name__ == "__main__":
    main()
