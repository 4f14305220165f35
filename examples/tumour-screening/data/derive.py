"""Write the data files of this folder from the copy that comes with scikit-learn.

The 569 rows are dealt to three files, as if three clinics had sent them, with the share of
malignant cases kept. The values are the source's own; nothing is added or changed.
"""

from pathlib import Path

from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

FOLDER = Path(__file__).parent
#: How many rows each gets; the last clinic, hillcrest, has the rest.
CLINICS = {"harbour": 209, "lakeside": 180}


def main() -> None:
    source = load_breast_cancer(as_frame=True)
    table = source.data.rename(columns=lambda name: name.replace(" ", "_"))
    table.insert(0, "diagnosis", source.target.map(dict(enumerate(source.target_names))))
    rest = table
    for clinic, count in CLINICS.items():
        dealt, rest = train_test_split(
            rest, train_size=count, stratify=rest["diagnosis"], random_state=1995
        )
        dealt.to_csv(FOLDER / f"{clinic}.csv", index=False)
    rest.to_csv(FOLDER / "hillcrest.csv", index=False)


if __name__ == "__main__":
    main()
