"""Measure every candidate on samples that none of them has seen."""

import argparse
import json
from pathlib import Path

import joblib
import pandas as pd
from sklearn.metrics import accuracy_score, recall_score, roc_auc_score
from sklearn.pipeline import Pipeline

TARGET = "diagnosis"


def measure(model: Pipeline, features: pd.DataFrame, malignant: pd.Series) -> dict[str, float]:
    """Sensitivity: the share of malignant samples found. Specificity: of benign ones let go."""
    predicted = model.predict(features)
    metrics = {
        "roc_auc": roc_auc_score(malignant, model.predict_proba(features)[:, 1]),
        "accuracy": accuracy_score(malignant, predicted),
        "sensitivity": recall_score(malignant, predicted),
        "specificity": recall_score(malignant, predicted, pos_label=False),
    }
    return {name: round(float(value), 4) for name, value in metrics.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--holdout-set", type=Path, required=True)
    parser.add_argument("--candidates", type=Path, nargs="+", required=True)
    parser.add_argument("--scores", type=Path, required=True)
    args = parser.parse_args()

    table = pd.read_csv(args.holdout_set / "samples.csv")
    features, malignant = table.drop(columns=TARGET), table[TARGET] == "malignant"
    candidates = {}
    for folder in args.candidates:
        algorithm = json.loads((folder / "model.json").read_text())["algorithm"]
        model = joblib.load(folder / "model.joblib")
        candidates[algorithm] = measure(model, features, malignant)
        print(algorithm, candidates[algorithm])

    args.scores.parent.mkdir(parents=True, exist_ok=True)
    scores = {"holdout_samples": len(table), "candidates": candidates}
    args.scores.write_text(json.dumps(scores, indent=2) + "\n")


if __name__ == "__main__":
    main()
