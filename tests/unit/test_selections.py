from typing import Any

import pytest

from shared.errors import Conflict, NotFound, RequestInvalid
from shared.selections import MOST, Selections, Wish
from tests.unit.asking import Asked
from tests.unit.scene import TRIGGER, trigger

RUN = f"{TRIGGER}.{'0' * 32}"


@pytest.fixture
def here() -> Asked:
    asked = Asked()
    asked.publish(trigger())
    return asked


def selections(here: Asked, most: int = MOST) -> Selections:
    return Selections(index=here.index, ledger=here.ledger, history=here.history, most=most)


def ended(here: Asked, name: str, status: str) -> str:
    [run] = here.upload(f"sales/north/{name}.csv", etag=name)
    here.end(run, status)
    return run


def test_runs_are_chosen_by_how_they_ended_and_when_the_oldest_first(here: Asked) -> None:
    good, bad = ended(here, "a", "Completed"), ended(here, "b", "Failed")
    stopped = ended(here, "c", "Canceled")
    here.upload("sales/notes.txt")
    between = here.world.now
    here.world.pass_time(3600)
    late = ended(here, "late", "Failed")
    here.upload("sales/north/open.csv", etag="open")

    def chosen(*outcomes: str, **times: Any) -> list[str]:
        return selections(here).choose(Wish(trigger=TRIGGER, outcomes=outcomes, **times))[1]

    assert chosen("failed") == [bad, late]
    assert chosen("failed", "canceled", "failed") == [bad, stopped, late]
    assert chosen("completed") == [good]
    assert chosen("failed", since=between) == [late]
    assert chosen("failed", until=between) == [bad]
    assert chosen("skipped") == []


def test_a_choice_says_until_when_it_holds(here: Asked) -> None:
    bad, now = ended(here, "b", "Failed"), here.world.now
    selection, _ = selections(here).choose(Wish(trigger=TRIGGER, outcomes=("failed",)))
    here.world.pass_time(1)
    ended(here, "later", "Failed")

    assert selection.until == now
    again = Wish(trigger=TRIGGER, outcomes=("failed",), until=selection.until)
    assert selections(here).choose(again)[1] == [bad]


def test_runs_that_are_named_keep_their_order(here: Asked) -> None:
    one, other = f"{TRIGGER}.{'1' * 32}", f"{TRIGGER}.{'2' * 32}"
    selection, runs = selections(here).choose(Wish(runs=(other, one, other)))

    assert runs == [other, one]
    assert (selection.trigger, selection.named) == (TRIGGER, True)


def test_only_what_is_over_may_be_run_once_more(here: Asked) -> None:
    [run] = here.upload()
    with pytest.raises(Conflict, match="is submitted; only what is over"):
        selections(here).over(run)
    with pytest.raises(NotFound, match="expired"):
        selections(here).over(RUN)
    here.end(run, "Failed")

    assert selections(here).over(run).run_id == run


@pytest.mark.parametrize(
    ("wish", "place", "said"),
    [
        (Wish(), "trigger", "is missing"),
        (Wish(trigger=TRIGGER), "outcomes", "are missing"),
        (Wish(trigger=TRIGGER, outcomes=("no_match",)), "outcomes", "without their data"),
        (Wish(trigger=TRIGGER, outcomes=("running",)), "outcomes", "is none of"),
        (Wish(trigger="unreadable", outcomes=("dead_letter",)), "trigger", "send it anew"),
        (Wish(runs=(RUN,), trigger=TRIGGER), "runs", "leave trigger"),
        (Wish(runs=("x" * 5_000,)), "runs", "is no run id"),
        (Wish(runs=(RUN, f"other.{'0' * 32}")), "runs", "several triggers"),
        (Wish(runs=(f"unreadable.{'0' * 32}",)), "runs", "send it anew"),
        (Wish(runs=tuple(f"a.{n:032x}" for n in range(MOST + 1))), "runs", "more than 10,000"),
    ],
)
def test_what_cannot_be_chosen_is_told(here: Asked, wish: Wish, place: str, said: str) -> None:
    with pytest.raises(RequestInvalid) as caught:
        selections(here).choose(wish)

    assert said in caught.value.problems[place]


def test_too_many_are_not_chosen(here: Asked) -> None:
    for name in ("a", "b", "c"):
        ended(here, name, "Failed")
    wish = Wish(trigger=TRIGGER, outcomes=("failed",))
    assert len(selections(here, most=3).choose(wish)[1]) == 3
    with pytest.raises(RequestInvalid) as caught:
        selections(here, most=2).choose(wish)

    assert "more than 2 runs" in caught.value.problems["since"]


def test_a_trigger_that_never_was_is_told(here: Asked) -> None:
    with pytest.raises(NotFound, match="manual, on-upload"):
        selections(here).choose(Wish(trigger="nowhere", outcomes=("failed",)))
