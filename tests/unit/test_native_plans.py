"""What is to be done about schedules in AzureML, from what is wanted and what is there."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.inputs import DataInput
from shared.native_plans import (
    Action,
    FoundSchedule,
    Step,
    WantedSchedule,
    drift,
    plan,
    setting,
    told,
    versioned,
)
from shared.native_triggers import NativeTrigger
from shared.specs import Studio
from shared.workspace import JobBody

TRIGGER = NativeTrigger(
    expression="0 6 * * *", start_time="2026-03-01T12:00:00", time_zone="W. Europe Standard Time"
)
BODY = JobBody(
    component_id="/workspaces/ml/components/churn/versions/v1",
    inputs={"size": 3, "fast": True, "data": DataInput(type="uri_file", path="azureml:x:1")},
    outputs={"model": DataInput(type="uri_folder", path="azureml://x", mode="upload")},
    settings={"default_compute": "azureml:cpu", "force_rerun": False},
    experiment_name="nights",
    display_name="nightly",
    tags={"team": "blue"},
)


def wanted(name: str = "nightly", **changes: Any) -> WantedSchedule:
    given = {"deployment": "prod", "enabled": True, "trigger": TRIGGER, "body": BODY, **changes}
    return WantedSchedule(name=name, **given)


def found(of: WantedSchedule, **changes: Any) -> FoundSchedule:
    given = {"enabled": of.enabled, "tags": of.tags, "fields": of.fields, **changes}
    return FoundSchedule(name=of.name, **given)


def actions(*steps: Step) -> list[tuple[str, str]]:
    return [(step.name, step.action.value) for step in steps]


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ([], ["create"]),
        ([found(wanted())], ["keep"]),
        ([found(wanted(), enabled=False)], ["enable"]),
        ([found(wanted(), fields={**wanted().fields, "inputs.size": "4"})], ["update"]),
        ([found(wanted(), state="Failed")], ["update"]),
        ([found(wanted(enabled=False))], ["enable"]),
    ],
)
def test_what_is_done(there: list[FoundSchedule], expected: list[str]) -> None:
    steps = plan([wanted()], there, "prod").steps
    assert [action for _, action in actions(*steps)] == expected


def test_what_is_paused_is_disabled_and_what_is_left_is_disabled_and_deleted() -> None:
    there = [found(wanted()), found(wanted("old")), found(wanted("older"), enabled=False)]
    made = plan([wanted(enabled=False)], there, "prod")
    assert actions(*made.steps) == [
        ("nightly", "disable"),
        ("old", "disable"),
        ("old", "delete"),
        ("older", "delete"),
    ]


def test_what_nobody_can_say_now_is_left_alone() -> None:
    assert plan([], [found(wanted())], "prod", unknown=["nightly"]).steps == ()


def test_what_the_studio_shows_is_put_and_told_where_it_differs() -> None:
    shown = wanted(studio=Studio(display_name="Nights", description="x", tags={"team": "red"}))
    assert shown.revision != wanted().revision
    assert drift(shown, found(shown)) == ()
    other = {**shown.fields, "display_name": "nightly", "description": "y", "tags.team": "blue"}
    assert [str(each) for each in drift(shown, found(shown, fields=other))] == [
        "description is 'y', and should be 'x'",
        "display_name is 'nightly', and should be 'Nights'",
        "tags.team is 'blue', and should be 'red'",
    ]
    # What nobody asked for, somebody may write there.
    noted = {**wanted().fields, "description": "see the wiki"}
    assert drift(wanted(), found(wanted(), fields=noted)) == ()


def test_another_version_trigger_or_job_is_another_revision() -> None:
    changed = wanted(body=BODY.model_copy(update={"description": "other"}))
    assert changed.revision != wanted().revision == wanted(enabled=False).revision
    # Nothing else tells that what the service does not show has changed.
    [only] = drift(changed, found(wanted()))
    assert only.place == "tags.signalbox_revision"


@pytest.mark.parametrize(
    "fields",
    [
        {"inputs.fast": "true"},
        {"settings._source": "REMOTE.WORKSPACE.JOB"},
        {"settings.continue_on_step_failure": "False"},
        {"settings.default_datastore": ""},
        {"tags.added_by": "somebody"},
        {"job_tags.added_by": "somebody"},
    ],
)
def test_what_azureml_writes_otherwise_or_adds_is_no_difference(fields: dict[str, str]) -> None:
    assert drift(wanted(), found(wanted(), fields={**wanted().fields, **fields})) == ()


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"inputs.more": "x"}, "inputs.more"),
        ({"settings.default_datastore": "other"}, "settings.default_datastore"),
        ({"trigger.end_time": "2027-01-01T00:00:00"}, "trigger.end_time"),
        ({"component": "churn:v2"}, "component"),
        ({"job_tags.team": "red"}, "job_tags.team"),
        ({"outputs.model.mode": "mount"}, "outputs.model.mode"),
    ],
)
def test_what_differs_is_named_by_its_place(fields: dict[str, str], place: str) -> None:
    differing = drift(wanted(), found(wanted(), fields={**wanted().fields, **fields}))
    assert [each.place for each in differing] == [place]
    [step] = plan([wanted()], [found(wanted(), fields={**wanted().fields, **fields})], "prod").steps
    assert told(step) == f"will be changed in AzureML: {differing[0]}"


def test_settled_places_are_told_and_not_put_again_until_they_change() -> None:
    there = found(wanted(), fields={**wanted().fields, "trigger.time_zone": "CET"})
    settled = {"nightly": {"trigger.time_zone": "CET"}}
    [step] = plan([wanted()], [there], "prod", settled=settled).steps
    assert (step.action, len(step.drift)) == (Action.KEEP, 1)
    other = replace(there, fields={**there.fields, "trigger.time_zone": "EET"})
    assert plan([wanted()], [other], "prod", settled=settled).steps[0].action is Action.UPDATE


def test_names_are_read_out_of_ids() -> None:
    assert versioned("azureml:/subscriptions/s/components/c/versions/2") == "c:2"
    assert versioned("azureml:c:2") == "c:2"
    assert setting("azureml:cpu") == setting("/subscriptions/s/computes/cpu") == "cpu"


_NAMES = st.lists(st.sampled_from("abcdef"), unique=True)


@given(_NAMES, _NAMES, _NAMES, st.data())
def test_one_round_makes_it_so_and_others_are_never_touched(
    mine: list[str], there: list[str], foreign: list[str], data: st.DataObject
) -> None:
    state = {name: found(wanted(name), enabled=data.draw(st.booleans())) for name in there}
    state |= {name: FoundSchedule(name=name, enabled=True, tags={}) for name in foreign}
    before = dict(state)
    made = plan([wanted(name) for name in mine], state.values(), "prod")
    for step in made.steps:
        assert step.name not in foreign
        if step.action is Action.DELETE:
            assert not state.pop(step.name).enabled
        elif step.action is Action.DISABLE:
            state[step.name] = replace(state[step.name], enabled=False)
        elif step.action is not Action.KEEP:
            state[step.name] = found(wanted(step.name))
    assert state == {
        **{name: found(wanted(name)) for name in mine},
        **{name: before[name] for name in foreign},
    }
    assert sorted(made.conflicts) == sorted({*mine} & {*foreign})
    assert plan([wanted(name) for name in mine], state.values(), "prod").changes == ()
