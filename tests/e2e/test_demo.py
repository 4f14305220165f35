"""The demo, as `make demo` runs it: what it shows, and that nothing is left of it."""

import re
from collections.abc import Callable

import pytest

from tests.e2e.running_demo import Demo, shown_by

_COLUMNS = ["roc_auc", "accuracy", "sensitivity", "specificity"]


@pytest.mark.timeout(300)
def test_the_demo_shows_what_became_of_two_uploads(start_demo: Callable[..., Demo]) -> None:
    demo = start_demo()
    shown = shown_by(demo)
    assert demo.returncode == 0, shown
    lines = [line.split() for line in shown.splitlines()]

    assert ["site", "candidate", *_COLUMNS] in lines
    kept = {}
    for site in ("harbour", "lakeside"):
        rows = [words for words in lines if words[:1] == [site] and len(words) in (6, 7)]
        assert {row[1] for row in rows} == {"logistic_regression", "gradient_boosting"}
        assert all(0.7 < float(figure) <= 1 for row in rows for figure in row[2:6]), rows
        (kept[site],) = [row for row in rows if row[6:] == ["✓"]]
        assert float(kept[site][2]) == max(float(row[2]) for row in rows)
        for step in ("prepare", "train_logistic", "train_boosting", "evaluate", "select"):
            assert [site, step, "Completed"] in lines

        path = f"biopsies/{site}/{site}.csv"
        assert ["subject", f"/blobServices/default/containers/landing/blobs/{path}"] in lines
        (run,) = re.findall(rf"{path}\n +-> run (\S+)", shown)
        assert ["run", run] in lines
        assert ["run", run, "is", "completed"] in lines

    facts = {name: [w[1] for w in lines if w[:1] == [name]] for name in ("event", "job", "model")}
    assert all(len(set(found)) == 2 for found in facts.values()), facts
    assert all(re.fullmatch(r"[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}", e) for e in facts["event"])
    assert all(re.match(r"azureml://.+/datastores/\w+/paths/.+/model", m) for m in facts["model"])
