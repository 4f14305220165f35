"""What a replay would do."""

import pytest

from shared.errors import RequestInvalid
from tests.unit.test_replays import DEAD, Replaying


@pytest.fixture
def here() -> Replaying:
    return Replaying()


def test_a_preview_says_what_would_become_of_each_and_changes_nothing(here: Replaying) -> None:
    runs = here.dead(5)
    before = dict(here.blobs.stored)
    found, cursor = [], None
    while True:
        page = here.outlooks.of(DEAD, limit=2, cursor=cursor)
        assert page.total == 5
        found += page.items
        if (cursor := page.cursor) is None:
            break

    assert [item.run for item in found] == runs
    assert {item.preview.decision for item in found if item.preview} == {"would_run"}
    assert found[0].preview is not None
    assert found[0].preview.run is None
    assert here.blobs.stored == before
    with pytest.raises(RequestInvalid):
        here.outlooks.of(DEAD, cursor="on-upload." + "0" * 32)
