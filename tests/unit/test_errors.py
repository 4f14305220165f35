import inspect

from shared import errors
from shared.errors import (
    Conflict,
    DefinitionsInvalid,
    EventInvalid,
    JobExists,
    JobRejected,
    MessagingUnavailable,
    NotFound,
    Permanent,
    Problem,
    RequestInvalid,
    SignalboxError,
    StorageUnavailable,
    Transient,
    WorkspaceUnavailable,
    listed,
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


def test_names_in_a_sentence_are_twenty_at_most() -> None:
    names = [f"n{number}" for number in range(25)]

    assert listed([]) == "none"
    assert listed(["b", "a"]) == "b, a"
    assert listed(names[:20]).endswith("n18, n19")
    assert listed(names).endswith("n18, n19 and 5 more")


def test_a_caller_can_tell_what_is_worth_repeating() -> None:
    for transient in (StorageUnavailable, WorkspaceUnavailable, MessagingUnavailable):
        assert issubclass(transient, Transient)
        assert not issubclass(transient, Permanent)
    for permanent in (
        *(DefinitionsInvalid, EventInvalid, JobExists, JobRejected),
        *(RequestInvalid, NotFound, Conflict),
    ):
        assert issubclass(permanent, Permanent)
        assert not issubclass(permanent, Transient)


def test_every_error_stands_in_the_list_at_the_top_under_its_family() -> None:
    listed = inspect.getdoc(errors) or ""
    permanent, _, transient = listed.partition("Transient")
    for name, error in inspect.getmembers(errors, inspect.isclass):
        if not issubclass(error, SignalboxError) or error in (SignalboxError, Permanent, Transient):
            continue
        assert (
            f" {name} "
            in f"{permanent if issubclass(error, Permanent) else transient} ".replace("\n", " ")
        )


def test_a_refused_request_has_its_problems_by_place() -> None:
    error = RequestInvalid("It does not fit", {"inputs.a": "is missing"})

    assert str(error) == "It does not fit"
    assert error.problems == {"inputs.a": "is missing"}
