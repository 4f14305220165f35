"""The demo, as `make demo` runs it: what it shows, and that nothing is left of it."""

import re
from collections.abc import Callable

import pytest

from tests.e2e.running_demo import Demo, shown_by

_COLUMNS = ["roc_auc", "accuracy", "sensitivity", "specificity"]
_STEPS = ("prepare", "train_logistic", "train_boosting", "evaluate", "select")

#: What each clinic's run is of: what the ledger keeps it under, and its event.
_WAYS: dict[str, tuple[str, list[str | None]]] = {
    "harbour": (
        "retrain-on-upload",
        ["Microsoft.Storage.BlobCreated", "landing/biopsies/harbour/harbour.csv"],
    ),
    "lakeside": ("retrain-on-request", ["Microsoft.ServiceBus.Message", "retrain"]),
    # an id that nobody has chosen
    "hillcrest": ("manual", ["signalbox.request", None]),
}


@pytest.mark.timeout(300)
def test_the_demo_shows_what_became_of_each_event(start_demo: Callable[..., Demo]) -> None:
    demo = start_demo()
    shown = shown_by(demo)
    assert demo.returncode == 0, shown
    lines = [line.split() for line in shown.splitlines()]

    started = re.findall(
        r"^    event (\S+)\n    -> run (\S+)\n    -> job (\S+)$", shown, re.MULTILINE
    )
    assert [run.partition(".")[0] for _, run, _ in started] == [name for name, _ in _WAYS.values()]
    # none is another's
    assert all(len(set(names)) == len(_WAYS) for names in zip(*started, strict=True)), started
    ended = [
        words[1] for words in lines if words[:1] == ["run"] and words[2:] == ["is", "completed"]
    ]
    assert sorted(ended) == sorted(run for _, run, _ in started)

    assert ["site", "candidate", *_COLUMNS] in lines
    models = set()
    for (site, (_, event)), (id, run, _) in zip(_WAYS.items(), started, strict=True):
        rows = [words for words in lines if words[:1] == [site] and "." in "".join(words[2:3])]
        assert {row[1] for row in rows} == {"logistic_regression", "gradient_boosting"}
        assert all(0.7 < float(figure) <= 1 for row in rows for figure in row[2:6]), rows
        (kept,) = [row for row in rows if row[6:] == ["✓"]]
        assert float(kept[2]) == max(float(row[2]) for row in rows)
        for step in _STEPS:
            assert [site, step, "Completed"] in lines

        facts = lines[lines.index(["site", site]) :][1:4]
        assert facts[:2] == [["event", *(word or id for word in event)], ["run", run]]
        name, model = facts[2]
        assert name == "model"
        assert re.match(r"azureml://.+/datastores/\w+/paths/.+/model", model)
        models.add(model)
    assert len(models) == len(_WAYS)

    run = started[0][1]
    (told,) = re.findall(r"^  \$ signalbox explain .+\n((?:    .+\n)+)", shown, re.MULTILINE)
    assert run in told
    assert "completed" in told
