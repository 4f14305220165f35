"""Schedules that AzureML runs: made, changed, disabled, deleted, and healed whatever went wrong."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.changes import _new_spec
from shared.definitions import TriggerDefinition
from shared.errors import Conflict, NotFound, RequestInvalid, SignalboxError, WorkspaceUnavailable
from shared.index import Index, IndexedTrigger, Paused, Snapshot
from shared.native_orders import NativeOrders
from shared.native_plans import Action, FoundSchedule
from shared.native_schedules import NativeSchedules
from shared.native_states import NativeStates
from shared.published import Published
from tests.fakes import MemoryBlobs, MemoryJobSchedules, MemoryWorkspace, World
from tests.unit.scene import Killed, fail, indexed, interject, pipeline

DEPLOYMENT = "test"
FOREIGN = FoundSchedule(name="theirs", enabled=True, tags={"team": "blue"})
OTHER = FoundSchedule(
    name="of-staging",
    enabled=True,
    tags={"signalbox_deployment": "staging", "signalbox_trigger": "of-staging"},
)


def schedule(name: str = "nightly", engine: str = "azureml", **more: Any) -> TriggerDefinition:
    spec = {"engine": engine, "cron": "0 6 * * *", **more.pop("spec", {})}
    if spec.get("every"):
        del spec["cron"]
    action = {"pipeline": "churn-training", "inputs": {"when": "x"}, **more}
    return TriggerDefinition.model_validate(
        {"name": name, "spec": {"schedule": spec}, "action": action}
    )


class Desk:
    """A deployment with schedules in AzureML, whose surroundings a test holds in its hand."""

    def __init__(self) -> None:
        self.world = World()
        self.blobs = MemoryBlobs(self.world)
        self.azure = MemoryJobSchedules(self.world)
        self.azure.there = {each.name: each for each in (FOREIGN, OTHER)}
        self.workspace = MemoryWorkspace(self.world)
        self.variables = {"stage": "dev"}
        self.restart()
        self.publish()

    def restart(self) -> None:
        """Another process of the app."""
        self.index = Index(self.blobs)
        self.native = NativeSchedules(
            deployment=DEPLOYMENT,
            index=self.index,
            states=NativeStates(self.blobs),
            orders=NativeOrders(
                deployment=DEPLOYMENT,
                variables=self.variables,
                published=Published(self.blobs),
                labels=self.workspace,
            ),
            schedules=self.azure,
            jobs=self.workspace,
        )

    def publish(self, *triggers: TriggerDefinition, **changes: Any) -> None:
        """What publishing leaves in the index; triggers that are not named are gone."""
        record = pipeline(
            inputs={
                "when": {"type": "string", "default": "never"},
                "size": {"type": "integer", "default": 1},
            },
            **changes,
        )

        def change(before: Snapshot, at: datetime) -> Snapshot:
            return before.model_copy(
                update={
                    "triggers": {
                        each.name: _edited(before.triggers.get(each.name), each, at)
                        for each in triggers
                    },
                    "pipelines": {record.name: record.model_dump(mode="json", by_alias=True)},
                }
            )

        self.after(change)

    def after(self, change: Callable[[Snapshot, datetime], Snapshot]) -> None:
        """As publishing does: what leaves is disabled before the index says so."""
        self.native.release(change(self.index.read().snapshot, self.world.now))
        self.index.change(change)
        self.native.reconcile()

    def pause(self, name: str = "nightly", paused: bool = True) -> str | None:
        def change(before: Snapshot, at: datetime) -> Snapshot:
            known = before.triggers[name]
            note = Paused(note="moving", at=at) if paused else None
            trigger = known.model_copy(update={"paused": note})
            return before.model_copy(update={"triggers": {**before.triggers, name: trigger}})

        return self.native.follow(self.index.change(change).triggers[name])

    def tick(self, seconds: float = 60) -> None:
        self.world.pass_time(seconds)
        self.native.run_due()

    def calls(self) -> list[str]:
        """What AzureML was asked since the last question."""
        made = [call for call in self.world.calls if call.startswith("schedule")]
        self.world.calls.clear()
        return made

    @property
    def nightly(self) -> FoundSchedule:
        return self.azure.there["nightly"]

    @property
    def others_untouched(self) -> bool:
        return [self.azure.there[each.name] for each in (FOREIGN, OTHER)] == [FOREIGN, OTHER]


def _edited(known: IndexedTrigger | None, to: TriggerDefinition, at: datetime) -> IndexedTrigger:
    revision = str(hash(to.model_dump_json()))
    if known is None:
        return IndexedTrigger(definition=to, revision=revision, effective_from=at)
    update: dict[str, Any] = {"definition": to, "revision": revision}
    if known.definition.spec != to.spec:
        update |= _new_spec(known, to, at, 0)
    return known.model_copy(update=update)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_one_request_makes_it_and_none_keeps_it(desk: Desk) -> None:
    desk.calls()
    desk.publish(schedule())
    assert desk.calls() == ["schedules", "schedule PUT nightly"]
    assert desk.nightly.enabled
    assert desk.nightly.tags["signalbox_deployment"] == DEPLOYMENT
    assert desk.nightly.fields["trigger.expression"] == "0 6 * * *"
    # A job would start at once without.
    assert desk.nightly.fields["trigger.start_time"] == "2026-03-01T12:00:00"
    desk.publish(schedule())
    assert desk.calls() == ["schedules"]
    assert desk.others_untouched


def test_a_tick_without_schedules_asks_nobody(desk: Desk) -> None:
    desk.world.calls.clear()
    desk.tick()
    desk.tick()
    assert [call.split(" ")[0] for call in desk.world.calls].count("get") <= 1
    assert desk.calls() == []


def test_a_tick_looks_once_an_hour_and_several_at_once_only_once(desk: Desk) -> None:
    desk.publish(schedule())
    desk.calls()
    for _ in range(59):
        desk.tick()
    assert desk.calls() == []
    desk.tick()
    desk.native.run_due()
    desk.restart()
    desk.native.run_due()
    assert desk.calls() == ["schedules"]


def test_the_job_is_the_body_of_a_submitted_one_without_a_run(desk: Desk) -> None:
    inputs = {"when": "at ${{creation_context.trigger_time}}", "size": 3}
    tags = {"stage": "${{ settings.stage }}"}
    desk.publish(schedule(inputs=inputs, tags=tags))
    fields = desk.nightly.fields
    assert fields["component"] == "churn-training:v1"
    assert fields["inputs.when"] == "at ${{creation_context.trigger_time}}"
    assert fields["inputs.size"] == "3"
    assert fields["settings.default_compute"] == "cpu-cluster"
    assert {key: value for key, value in fields.items() if key.startswith("job_tags.")} == {
        "job_tags.stage": "dev",
        "job_tags.signalbox_deployment": DEPLOYMENT,
        "job_tags.signalbox_trigger": "nightly",
        "job_tags.signalbox_pipeline": "churn-training@v1",
    }


def test_an_edit_is_one_put_and_the_latest_version_follows(desk: Desk) -> None:
    desk.publish(schedule())
    desk.calls()
    desk.publish(schedule(spec={"cron": "0 7 * * *"}))
    assert desk.calls() == ["schedules", "schedule PUT nightly", "schedule GET nightly"]
    assert desk.nightly.fields["trigger.expression"] == "0 7 * * *"
    desk.publish(
        schedule(spec={"cron": "0 7 * * *"}),
        version="v2",
        component_id="/components/churn-training/versions/v2",
    )
    assert desk.nightly.fields["component"] == "churn-training:v2"


def test_data_that_is_the_latest_is_named_by_version_and_renewed(desk: Desk) -> None:
    desk.workspace.latest[("data", "prices")] = "7"
    desk.publish(schedule(), outputs={})
    inputs = {"when": {"type": "uri_file", "path": "azureml:prices@latest"}}

    def change(before: Snapshot, _at: datetime) -> Snapshot:
        record = pipeline(inputs=inputs).model_dump(mode="json", by_alias=True)
        trigger = before.triggers["nightly"]
        definition = schedule(inputs={})
        return before.model_copy(
            update={
                "pipelines": {"churn-training": record},
                "triggers": {"nightly": trigger.model_copy(update={"definition": definition})},
            }
        )

    desk.after(change)
    assert desk.nightly.fields["inputs.when"] == "azureml:prices:7"
    desk.workspace.latest[("data", "prices")] = "8"
    desk.tick(3600)
    assert desk.nightly.fields["inputs.when"] == "azureml:prices:8"


def test_pausing_disables_and_resuming_enables_at_once(desk: Desk) -> None:
    desk.publish(schedule())
    assert desk.pause() is None
    assert not desk.nightly.enabled
    assert desk.pause(paused=False) is None
    assert desk.nightly.enabled
    desk.calls()
    desk.publish(schedule())
    assert desk.calls() == ["schedules"]


def test_a_failed_pause_is_made_up_for_by_the_next_tick(desk: Desk) -> None:
    desk.publish(schedule())
    fail(desk.world, "schedule PUT", WorkspaceUnavailable("AzureML answered 429"))
    assert "429" in str(desk.pause())
    assert desk.nightly.enabled
    desk.tick()
    assert not desk.nightly.enabled


def test_pausing_makes_none(desk: Desk) -> None:
    desk.publish(schedule())
    desk.azure.there.pop("nightly")
    assert desk.pause() is None
    assert "nightly" not in desk.azure.there
    desk.tick()
    assert not desk.nightly.enabled


def test_it_is_disabled_before_it_is_deleted(desk: Desk) -> None:
    desk.publish(schedule())
    desk.calls()
    desk.publish()
    assert desk.calls() == [
        "schedules",
        "schedule disable nightly",
        "schedule GET nightly",
        "schedule delete nightly",
    ]
    assert sorted(desk.azure.there) == ["of-staging", "theirs"]
    desk.tick(7200)
    assert desk.calls() == []
    # What was on its way may come late, and is found by a look a day.
    desk.azure.there["nightly"] = FoundSchedule(
        name="nightly", enabled=True, tags={"signalbox_deployment": DEPLOYMENT}
    )
    desk.tick(86_400)
    assert sorted(desk.azure.there) == ["of-staging", "theirs"]


def test_what_takes_azureml_long_is_gone_on_with_later(desk: Desk) -> None:
    desk.azure.slow = 3
    desk.publish(schedule())
    desk.publish()
    assert desk.azure.there["nightly"]
    for _ in range(8):
        desk.tick(300)
    assert "nightly" not in desk.azure.there


def test_another_engine_disables_it_before_the_index_says_so(desk: Desk) -> None:
    desk.publish(schedule())
    fired: list[bool] = []
    interject(desk.world, "swap index.json", lambda: fired.append(desk.nightly.enabled))
    desk.publish(schedule(engine="signalbox"))
    assert fired == [False]
    assert "nightly" not in desk.azure.there


def test_the_index_waits_until_azureml_is_done_disabling(desk: Desk) -> None:
    desk.publish(schedule())
    desk.azure.slow = 4
    ours = schedule(engine="signalbox")
    with pytest.raises(WorkspaceUnavailable, match=r"not done disabling nightly.*Publish again"):
        desk.publish(ours)
    assert desk.index.read().snapshot.triggers["nightly"].definition != ours
    # Who waits sees the end of it.
    waited: list[float] = []
    after = Snapshot(triggers=indexed(ours))
    assert desk.native.release(after, waited.append) == []
    assert 1 <= len(waited) <= 4
    desk.publish(ours)
    assert desk.index.read().snapshot.triggers["nightly"].definition == ours


def test_a_publisher_that_stops_in_between_leaves_one_clock(desk: Desk) -> None:
    desk.publish(schedule())
    fail(desk.world, "swap index.json", Killed())
    with pytest.raises(Killed):
        desk.publish(schedule(engine="signalbox"))
    # The index has not changed: AzureML's is the clock, and is so again within minutes.
    assert not desk.nightly.enabled
    desk.restart()
    for _ in range(6):
        desk.tick()
    assert desk.nightly.enabled


def test_no_timer_enables_what_is_about_to_leave(desk: Desk) -> None:
    desk.publish(schedule())

    def another_timer() -> None:
        desk.world.pass_time(60)
        Desk.restart(desk)
        desk.native.run_due()

    interject(desk.world, "swap index.json", another_timer)
    seen: list[bool] = []
    desk.world.after = lambda call: (
        seen.append(desk.nightly.enabled) if call == "swap index.json" else None
    )
    desk.publish(schedule(engine="signalbox"))
    assert seen == [False]


def test_a_timer_that_began_before_does_not_enable_it_either(desk: Desk) -> None:
    desk.publish(schedule())
    desk.azure.there["nightly"] = replace(desk.nightly, enabled=False)
    after = Snapshot(triggers=indexed(schedule(engine="signalbox")))
    interject(desk.world, "schedules", lambda: desk.native.release(after))
    desk.calls()
    desk.tick(3600)
    assert set(desk.calls()) == {"schedules", "schedule GET nightly"}
    assert not desk.nightly.enabled


def test_who_disables_it_while_it_is_changed_is_not_taken_for_azureml(desk: Desk) -> None:
    desk.publish(schedule())
    interject(desk.world, "schedule GET", lambda: _outside(desk, "toggle"))
    desk.publish(schedule(spec={"cron": "0 7 * * *"}))
    assert not desk.nightly.enabled
    desk.tick(3600)
    assert desk.nightly.enabled


def test_a_schedule_of_the_same_name_is_left_alone_and_told(desk: Desk) -> None:
    desk.azure.there["nightly"] = replace(FOREIGN, name="nightly")
    desk.publish(schedule())
    assert desk.nightly.tags == FOREIGN.tags
    look = desk.native.look("nightly")
    assert "was not made by Signalbox" in str(look.problem)
    foreseen = desk.native.foresee(desk.index.read().snapshot, desk.world.now)
    assert "give the trigger another name" in foreseen.problems["nightly"]
    desk.azure.there["nightly"] = replace(OTHER, name="nightly")
    assert "'staging'" in str(desk.native.look("nightly").problem)
    # Told, and nothing that another try would help.
    desk.calls()
    desk.tick(600)
    assert desk.calls() == []


def test_edits_from_outside_are_shown_field_by_field_and_undone(desk: Desk) -> None:
    desk.publish(schedule())
    fields = {**desk.nightly.fields, "trigger.expression": "0 9 * * *", "inputs.size": "8"}
    del fields["settings.default_compute"]
    desk.azure.there["nightly"] = replace(desk.nightly, enabled=False, fields=fields)
    look = desk.native.look("nightly")
    assert (look.there, look.enabled, look.action) == (True, False, Action.UPDATE)
    assert look.drift == (
        "enabled is 'false', and should be 'true'",
        "inputs.size is '8', and should be '1'",
        "settings.default_compute is not there, and should be 'cpu-cluster'",
        "trigger.expression is '0 9 * * *', and should be '0 6 * * *'",
    )
    desk.tick(3600)
    assert desk.native.look("nightly").drift == ()
    desk.azure.there.pop("nightly")
    assert desk.native.look("nightly").action is Action.CREATE
    desk.tick(3600)
    assert desk.nightly.enabled


def test_what_azureml_writes_in_its_own_way_is_not_put_every_hour(desk: Desk) -> None:
    desk.azure.kept_so = {"trigger.time_zone": "Utc+0"}
    desk.publish(schedule())
    desk.tick(3600)
    desk.calls()
    for _ in range(20):
        desk.tick(3600)
    assert "schedule PUT nightly" not in desk.calls()
    assert desk.native.look("nightly").drift == (
        "trigger.time_zone is 'Utc+0', and should be 'UTC'",
    )
    for _ in range(8):
        desk.tick(3600)
    # Once more after a day, since somebody may have changed it in that moment.
    assert desk.calls().count("schedule PUT nightly") == 1


def test_one_that_cannot_be_made_is_told_and_keeps_nobody_else_from_theirs(desk: Desk) -> None:
    desk.publish(schedule("hourly", pipeline="gone"), schedule())
    assert desk.nightly.enabled
    assert "No pipeline named 'gone'" in str(desk.native.look("hourly").problem)
    # It was there before its pipeline went: it is left as it is.
    desk.azure.there["hourly"] = replace(desk.nightly, name="hourly")
    desk.tick(3600)
    assert "hourly" in desk.azure.there


def test_a_schedule_that_is_over_is_neither_made_nor_changed(desk: Desk) -> None:
    end = (desk.world.now + timedelta(days=1)).isoformat()
    desk.publish(schedule(spec={"end_time": end}))
    assert desk.nightly.enabled
    desk.tick(86_400 * 2)
    desk.azure.there["nightly"] = replace(desk.nightly, enabled=False)
    desk.tick(86_400)
    assert desk.native.look("nightly").action is Action.KEEP
    desk.azure.there.pop("nightly")
    desk.tick(86_400)
    assert "nightly" not in desk.azure.there


def test_distances_go_on_through_an_edit(desk: Desk) -> None:
    desk.publish(schedule(spec={"every": "PT6H"}))
    desk.world.pass_time(3600)
    desk.publish(schedule(spec={"every": "PT6H", "time_zone": "Asia/Tokyo"}))
    assert desk.nightly.fields["trigger.start_time"] == "2026-03-01T12:00:00"
    desk.publish(schedule(spec={"every": "PT8H"}))
    assert desk.nightly.fields["trigger.start_time"] == "2026-03-01T13:00:00"


def test_one_can_be_started_now(desk: Desk) -> None:
    desk.publish(schedule())
    assert desk.native.trigger_now("nightly", {}, key="k") == "nightly-1"
    desk.pause()
    with pytest.raises(Conflict, match="paused"):
        desk.native.trigger_now("nightly", {}, key="k")
    desk.pause(paused=False)
    desk.azure.there.pop("nightly")
    with pytest.raises(Conflict, match="no enabled schedule"):
        desk.native.trigger_now("nightly", {}, key="k")
    with pytest.raises(NotFound):
        desk.native.trigger_now("nobody", {}, key="k")


def test_inputs_are_given_to_a_job_of_its_own_once_for_each_key(desk: Desk) -> None:
    desk.publish(schedule(inputs={"when": "at ${{creation_context.trigger_time}}"}))
    name = desk.native.trigger_now("nightly", {"size": 5}, key="k")
    body = desk.workspace.bodies[name]
    assert body.inputs == {"when": "at 2026-03-01T12:00:00Z", "size": 5}
    with pytest.raises(SignalboxError):
        desk.native.trigger_now("nightly", {"size": 5}, key="k")
    assert len(desk.workspace.jobs) == 1
    for inputs in ({"sise": 5}, {"size": "many"}, {"when": "$(rm)"}):
        with pytest.raises(RequestInvalid):
            desk.native.trigger_now("nightly", inputs, key="other")
    assert len(desk.workspace.jobs) == 1


_TRIGGERS = {
    "daily": [schedule()],
    "weekly": [schedule(spec={"cron": "0 6 * * MON"})],
    "often": [schedule(spec={"every": "PT6H"}), schedule("hourly", spec={"every": "PT1H"})],
    "ours": [schedule(engine="signalbox")],
    "none": [],
}


def _outside(desk: Desk, edit: str) -> None:
    """What somebody does in AzureML."""
    for name in ("nightly", "hourly"):
        found = desk.azure.there.get(name)
        if found is None or found.deployment != DEPLOYMENT:
            continue
        if edit == "delete":
            del desk.azure.there[name]
            continue
        fields = {**found.fields, "trigger.expression": "9 9 * * *", "inputs.size": "99"}
        made: dict[str, dict[str, Any]] = {
            "toggle": {"enabled": not found.enabled},
            "edit": {"fields": fields},
            "fail": {"state": "Failed"},
        }
        desk.azure.there[name] = replace(found, **made[edit])


_ACTION = st.one_of(
    st.sampled_from(sorted(_TRIGGERS)).map(lambda name: ("publish", name)),
    st.sampled_from(["toggle", "edit", "fail", "delete"]).map(lambda edit: ("outside", edit)),
    st.sampled_from([60, 300, 3600]).map(lambda seconds: ("tick", seconds)),
    st.sampled_from([True, False]).map(lambda paused: ("pause", paused)),
)
_TROUBLE = st.one_of(
    st.none(),
    st.tuples(
        st.integers(0, 24),
        st.sampled_from(
            ["killed before", "killed after", "429", "503", "503 applied", "toggle", "edit"]
        ),
    ),
)


def _with_trouble(desk: Desk, trouble: tuple[int, str] | None) -> None:
    left, kind = trouble or (-1, "")

    def meet(call: str, *, after: bool) -> None:
        nonlocal left
        if after != kind.endswith(("after", "applied")) or left < 0:
            return
        left -= 1
        if left >= 0:
            return
        if kind.startswith("killed"):
            raise Killed
        if status := re.match(r"\d+", kind):
            if call.startswith("schedule"):
                refused = status[0] == "429"
                raise WorkspaceUnavailable(f"AzureML answered {status[0]}", refused=refused)
            return
        _outside(desk, kind)

    desk.world.before = lambda call: meet(call, after=False)
    desk.world.after = lambda call: meet(call, after=True)


def _act(desk: Desk, action: tuple[str, Any]) -> None:
    kind, what = action
    if kind == "publish":
        desk.publish(*_TRIGGERS[what])
    elif kind == "outside":
        _outside(desk, what)
    elif kind == "tick":
        desk.tick(what)
    elif "nightly" in desk.index.read().snapshot.triggers:
        desk.pause(paused=what)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(_ACTION, _TROUBLE), max_size=12), st.sampled_from([0, 0, 2]))
def test_whatever_goes_wrong_azureml_ends_as_the_index_says(
    history: list[tuple[tuple[str, Any], tuple[int, str] | None]], slow: int
) -> None:
    desk = Desk()
    desk.azure.slow = slow
    for action, trouble in history:
        _with_trouble(desk, trouble)
        try:
            _act(desk, action)
        except Killed:
            desk.restart()
        except SignalboxError:
            pass
        desk.world.before = desk.world.after = lambda _call: None
        assert desk.others_untouched
    # AzureML's own troubles are over, and what was settled is put once more after a day.
    for seconds in (60, 300, 300, 300, 300, 300, 300, 3600, 86_401, 300, 300, 300, 3600):
        desk.tick(seconds)
    snapshot = desk.index.read().snapshot
    wanted = {
        name: each.paused is None
        for name, each in snapshot.triggers.items()
        if each.definition.spec.schedule and each.definition.spec.schedule.engine == "azureml"
    }
    ours = {
        name: each.enabled
        for name, each in desk.azure.there.items()
        if each.deployment == DEPLOYMENT
    }
    assert ours == wanted
    assert {name: desk.native.look(name).drift for name in wanted} == dict.fromkeys(wanted, ())
    assert desk.others_untouched
