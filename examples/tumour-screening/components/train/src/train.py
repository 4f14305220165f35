"""Fit one classifier that tells malignant from benign samples."""

import argparse
import json
from pathlib import Path

import joblib
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

TARGET = "diagnosis"
ALGORITHMS = {
    "logistic_regression": LogisticRegression,
    "gradient_boosting": HistGradientBoostingClassifier,
}


def build(algorithm: str, iterations: int | None, seed: int) -> Pipeline:
    """An unfitted classifier; without iterations it takes scikit-learn's own number."""
    limit = {} if iterations is None else {"max_iter": iterations}
    return make_pipeline(StandardScaler(), ALGORITHMS[algorithm](random_state=seed, **limit))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--training-set", type=Path, required=True)
    parser.add_argument("--algorithm", choices=sorted(ALGORITHMS), required=True)
    parser.add_argument("--iterations", type=int)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--candidate", type=Path, required=True)
    args = parser.parse_args()

    table = pd.read_csv(args.training_set / "samples.csv")
    features = table.drop(columns=TARGET)
    model = build(args.algorithm, args.iterations, args.seed)
    model.fit(features, table[TARGET] == "malignant")

    about = {
        "algorithm": args.algorithm,
        "iterations": args.iterations,
        "seed": args.seed,
        "samples": len(table),
        "features": list(features.columns),
    }
    args.candidate.mkdir(parents=True, exist_ok=True)
    joblib.dump(model, args.candidate / "model.joblib")
    (args.candidate / "model.json").write_text(json.dumps(about, indent=2) + "\n")
    print(f"{args.algorithm}: fitted to {len(table)} samples of {features.shape[1]} features")


if __name__ == "__main__":
    main()
