"""Check the samples of one site and split them into a training and a holdout set."""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

TARGET = "diagnosis"
DIAGNOSES = {"malignant", "benign"}
STATISTICS = ("mean_{}", "{}_error", "worst_{}")
MEASUREMENTS = (
    "radius",
    "texture",
    "perimeter",
    "area",
    "smoothness",
    "compactness",
    "concavity",
    "concave_points",
    "symmetry",
    "fractal_dimension",
)
FEATURES = [statistic.format(name) for statistic in STATISTICS for name in MEASUREMENTS]
FEWEST_OF_EACH = 10


class UnusableSamples(Exception):
    """The file is not what the training needs; the message says why."""


def read_samples(path: Path) -> pd.DataFrame:
    """Read the CSV with every column the training needs, as numbers and a diagnosis."""
    try:
        table = pd.read_csv(path)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise UnusableSamples(f"not a CSV file: {error}") from error
    missing = [column for column in [TARGET, *FEATURES] if column not in table.columns]
    if missing:
        raise UnusableSamples(f"missing column: {', '.join(missing)}")
    table = table[[TARGET, *FEATURES]]
    for column in FEATURES:
        numbers = pd.to_numeric(table[column], errors="coerce")
        bad = ~np.isfinite(numbers)
        if bad.any():
            raise UnusableSamples(f"column {column}: no number in row {bad.idxmax() + 1}")
    unknown = set(table[TARGET].unique()) - DIAGNOSES
    if unknown:
        found = ", ".join(sorted(map(str, unknown)))
        raise UnusableSamples(f"column {TARGET}: malignant or benign expected, found {found}")
    for diagnosis in sorted(DIAGNOSES):
        count = int((table[TARGET] == diagnosis).sum())
        if count < FEWEST_OF_EACH:
            raise UnusableSamples(
                f"{count} {diagnosis} samples, at least {FEWEST_OF_EACH} are needed"
            )
    return table


def split(table: pd.DataFrame, fraction: float, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training and holdout set, each with the whole table's share of diagnoses."""
    holdout = table.groupby(TARGET).sample(frac=fraction, random_state=seed)
    return table.drop(holdout.index), holdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=Path, required=True)
    parser.add_argument("--site", required=True)
    parser.add_argument("--holdout-fraction", type=float, default=0.25)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--training-set", type=Path, required=True)
    parser.add_argument("--holdout-set", type=Path, required=True)
    args = parser.parse_args()

    try:
        table = read_samples(args.samples)
    except UnusableSamples as error:
        sys.exit(f"The samples of {args.site} cannot be used: {error}")

    training, holdout = split(table, args.holdout_fraction, args.seed)
    for folder, part in ((args.training_set, training), (args.holdout_set, holdout)):
        folder.mkdir(parents=True, exist_ok=True)
        part.to_csv(folder / "samples.csv", index=False)
    print(f"{args.site}: {len(training)} samples to train on, {len(holdout)} held out")


if __name__ == "__main__":
    main()
