from datetime import date

import pytest

from shared import crons, exclusions


@pytest.mark.parametrize(
    ("written", "kept", "read"),
    [
        ("2026-12-25", "2026-12-25", (date(2026, 12, 25), date(2026, 12, 25))),
        (
            " 2026-12-24/2027-01-01 ",
            "2026-12-24/2027-01-01",
            (date(2026, 12, 24), date(2027, 1, 1)),
        ),
        ("2026-12-24/2026-12-24", "2026-12-24/2026-12-24", (date(2026, 12, 24),) * 2),
        ("* * 1 may *", "* * 1 MAY *", crons.read("* * 1 MAY *")),
        ("@weekly", "0 0 * * 0", crons.read("0 0 * * 0")),
    ],
)
def test_what_is_left_out_is_days_or_what_an_expression_is_for(
    written: str, kept: str, read: object
) -> None:
    assert exclusions.exclusion(written) == kept
    assert exclusions.read(kept) == read


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("2026-02-30", "'2026-02-30' is not in the calendar"),
        ("2026-12-24/2026-13-01", "is not in the calendar"),
        ("2027-01-01/2026-12-24", "goes backwards; write 2026-12-24/2027-01-01"),
        ("2026-12-24 - 2027-01-01", "write 2026-12-25, or 2026-12-24/2027-01-01, which is both"),
        ("2026-12", "write 2026-12-25, or"),
        ("2026-" + "x" * 10_000, "write 2026-12-25, or"),
        ("Christmas", "is no cron expression"),
        ("", "is no cron expression"),
    ],
)
def test_anything_else_is_told_with_what_to_write(written: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        exclusions.exclusion(written)

    assert said in str(caught.value)
    assert len(str(caught.value)) < 400
