from shared.errors import (
    DefinitionsInvalid,
    JobExists,
    JobRejected,
    Permanent,
    Problem,
    StorageUnavailable,
    Transient,
    WorkspaceUnavailable,
)


def test_problems_are_told_in_the_order_of_files_and_lines() -> None:
    problems = [
        Problem(file="triggers/b.yml", line=2, message="second"),
        Problem(file="triggers/b.yml", line=0, message="whole document"),
        Problem(file="pipelines/a.yml", line=11, message="eleventh"),
        Problem(file="pipelines/a.yml", line=9, message="ninth"),
    ]

    assert str(DefinitionsInvalid(problems)).splitlines() == [
        "pipelines/a.yml:9: ninth",
        "pipelines/a.yml:11: eleventh",
        "triggers/b.yml: whole document",
        "triggers/b.yml:2: second",
    ]


def test_a_caller_can_tell_what_is_worth_repeating() -> None:
    assert issubclass(StorageUnavailable, Transient)
    assert issubclass(WorkspaceUnavailable, Transient)
    for permanent in (DefinitionsInvalid, JobExists, JobRejected):
        assert issubclass(permanent, Permanent)
        assert not issubclass(permanent, Transient)
