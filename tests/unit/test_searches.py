"""Which uploads of a page were lost, and what is made of them."""

from datetime import timedelta

import pytest

from shared.ledger import State
from shared.policies import Sweep
from tests.unit.batching import batched, records
from tests.unit.scene import fail
from tests.unit.test_sweeps import HOUR, Sweeping, swept


@pytest.fixture
def here() -> Sweeping:
    scene = Sweeping()
    scene.publish(swept())
    scene.run(after=timedelta(0))
    return scene


def test_a_sweep_leaves_no_history_of_what_it_does_not_take(here: Sweeping) -> None:
    here.put("sales/notes.txt")
    here.put("other/x.csv")
    here.run()

    assert here.decisions() == []


def test_a_path_that_was_recorded_with_other_content_is_reported_and_not_started(
    here: Sweeping,
) -> None:
    here.upload()
    here.world.pass_time(HOUR.total_seconds())
    here.put(etag="0x2")
    report = here.run()

    assert (report.counts.found, report.counts.overwritten) == (0, 1)
    assert [one.etag for one in report.changed] == ["0x2"]
    assert len(here.workspace.jobs) == 1
    # An hour later it is not looked at any more, and is not forgotten either.
    assert here.run().counts.overwritten == 0
    assert [one.etag for one in here.state.overwritten] == ["0x2"]


def test_what_was_refused_before_and_overwritten_is_started(here: Sweeping) -> None:
    here.publish(swept(spec={**swept().spec.model_dump(mode="json", exclude_none=True),
                             "where": "event.data.contentLength > `0`"}))  # fmt: skip
    here.upload("sales/north/march.csv", data={"contentLength": 0})
    here.put(etag="0x2")
    here.run()

    assert len(here.workspace.jobs) == 1


def test_what_was_there_before_the_lookback_and_changed_is_reported(here: Sweeping) -> None:
    created = here.world.now - timedelta(days=40)
    here.put(created=created, last_modified=here.world.now + timedelta(minutes=1))
    report = here.run()

    assert (report.counts.found, report.counts.overwritten) == (0, 1)


@pytest.mark.parametrize(
    "path", ["sales/north/../x.csv", "sales/./x.csv", "sales/no rth/ä\x1b[2J;$(x).csv", "sales/a/"]
)
def test_hostile_names_stop_nothing(here: Sweeping, path: str) -> None:
    here.put(path)
    here.put("sales/north/good.csv")
    report = here.run()

    assert "sales/north/good.csv" in here.paths()
    assert here.state.problem is None
    assert report.counts.listed == 2


def test_a_secret_in_a_name_is_blotted_out(here: Sweeping) -> None:
    here.put(f"sales/north/x?sig={'s' * 40}.csv")
    report = here.run()

    assert len(report.found) == 1
    assert "ssss" not in report.model_dump_json()


def test_what_a_batch_missed_waits_for_one_and_what_it_forgot_is_found_again() -> None:
    here = Sweeping()
    here.publish(batched().model_copy(update={"sweep": Sweep()}))
    here.run(after=timedelta(0))
    here.put("sales/03-01/lost.csv")
    here.put("sales/03-01/_SUCCESS", etag="0x2")
    here.run()
    markers = [name for name in here.blobs.stored if name.startswith("inbox/")]
    assert len(markers) == 2
    assert here.paths() == ["sales/03-01/_SUCCESS", "sales/03-01/lost.csv"]

    for marker in markers:
        del here.blobs.stored[marker]
    assert here.run().counts.known == 0
    here.run(after=timedelta(days=1))
    here.tick.run()

    taken = [record for record in records(here) if record.member]
    assert {record.state for record in taken} == {State.BATCHED}
    assert len(here.workspace.jobs) == 1


def test_what_a_batch_took_and_was_overwritten_is_reported() -> None:
    here = Sweeping()
    here.publish(batched().model_copy(update={"sweep": Sweep()}))
    here.upload("sales/03-01/a.csv")
    here.world.pass_time(3600)
    here.tick.run()
    assert len(here.workspace.jobs) == 1
    here.world.pass_time(86_400)
    here.put("sales/03-01/a.csv", etag="0x2")

    assert here.run().counts.overwritten == 1


def test_what_cannot_be_handed_over_by_a_mistake_of_ours_stops_nothing(here: Sweeping) -> None:
    here.put("sales/north/a.csv")
    here.put("sales/north/b.csv")
    here.world.pass_time(HOUR.total_seconds())
    fail(here.world, "create ledger/", ValueError("a mistake"))
    report = here.run(after=timedelta(0))

    assert (report.counts.failed, report.counts.found) == (1, 1)
    assert here.paths() == ["sales/north/b.csv"]


def test_a_record_that_cannot_be_read_is_a_record(here: Sweeping) -> None:
    here.upload()
    [name] = [name for name in here.blobs.stored if name.startswith("ledger/")]
    here.blobs.put(name, b"{")
    report = here.run()

    assert (report.counts.known, report.counts.found) == (1, 0)
