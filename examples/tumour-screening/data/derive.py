"""Write the data files of this folder from the copy that comes with scikit-learn.

The 569 rows are dealt to two files, as if two clinics had sent them, with the share of
malignant cases kept. The values are the source's own; nothing is added or changed.
"""

from pathlib import Path

from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

FOLDER = Path(__file__).parent


def main() -> None:
    source = load_breast_cancer(as_frame=True)
    table = source.data.rename(columns=lambda name: name.replace(" ", "_"))
    table.insert(0, "diagnosis", source.target.map(dict(enumerate(source.target_names))))
    harbour, lakeside = train_test_split(
        table, train_size=320, stratify=table["diagnosis"], random_state=1995
    )
    harbour.to_csv(FOLDER / "harbour.csv", index=False)
    lakeside.to_csv(FOLDER / "lakeside.csv", index=False)


if __name__ == "__main__":
    main()
