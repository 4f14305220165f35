"""What becomes of runs, told to others."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from azure.core.credentials import AccessToken

from shared import outcomes
from shared.definitions import TriggerDefinition
from shared.errors import MessagingUnavailable, StorageUnavailable
from shared.events import Event
from shared.ledger import LEASE, Record, State
from shared.outcomes import ServiceBusOutcomes, chained, outcome, untold
from shared.workspace import FailedStep
from tests.unit.scene import DEPLOYMENT, PIPELINE, TRIGGER, Scene, event, fail, trigger

NO_TOPIC = MessagingUnavailable("Service Bus did not take outcomes")


class Topic:
    """Remembers what it was told; may be down."""

    def __init__(self) -> None:
        self.told: list[Event] = []
        self.down = False

    def publish(self, events: Sequence[Event]) -> None:
        if self.down:
            raise NO_TOPIC
        self.told.extend(events)

    @property
    def types(self) -> list[str]:
        return [event.type.removeprefix("signalbox.run.") for event in self.told]


@pytest.fixture
def topic() -> Topic:
    return Topic()


@pytest.fixture
def here(topic: Topic) -> Scene:
    here = Scene(outcomes=topic)
    here.publish(trigger())
    return here


def ends(here: Scene, status: str = "Completed", name: str = TRIGGER) -> Record:
    here.workspace.end(here.record(name).attempt.job_name, status)
    here.tick.run()
    return here.record(name)


def test_who_is_next_begins_although_the_end_before_it_cannot_be_told(
    here: Scene, topic: Topic
) -> None:
    here.publish(trigger(policies={"concurrency": {"limit": 1}}))
    first, second = (
        here.dispatcher.handle(event(path))[0].record for path in ("sales/n/a.csv", "sales/n/b.csv")
    )
    assert first
    assert second
    assert second.state is State.QUEUED
    topic.down = True
    here.workspace.end(first.attempt.job_name, "Completed")
    with pytest.raises(MessagingUnavailable):
        here.submission.resume(first.trigger, first.key)
    next_one = here.ledger.read(second.trigger, second.key)
    assert next_one
    assert next_one.record.state is State.SUBMITTED


def test_each_state_that_others_care_for_is_told_once(here: Scene, topic: Topic) -> None:
    here.dispatcher.handle(event())
    # The event that waits for its answer tells nobody.
    assert topic.types == []
    here.tick.run()
    assert topic.types == ["submitted"]

    for _ in range(3):
        here.workspace.end(here.record().attempt.job_name, "Running")
        here.world.pass_time(60)
        here.tick.run()
    assert topic.types == ["submitted"]

    ends(here)
    assert topic.types == ["submitted", "completed"]
    here.tick.run()
    assert topic.types == ["submitted", "completed"]


def test_a_run_that_ends_between_two_looks_is_told_in_order(here: Scene, topic: Topic) -> None:
    here.dispatcher.handle(event())
    ends(here, "Failed")

    assert topic.types == ["submitted", "failed"]
    submitted, failed = topic.told
    assert submitted.data["reason"] is None
    assert failed.data["reason"]["code"] == "job_failed"
    assert submitted.time <= failed.time


def test_a_dead_letter_is_told_by_the_timer_and_not_by_the_event_s_own_call(
    here: Scene, topic: Topic
) -> None:
    here.publish(trigger(inputs={}))
    here.dispatcher.handle(event())
    assert topic.types == []
    assert len(here.markers()) == 1
    # History knows it at once.
    assert [told["decision"] for told in here.decisions()] == ["dead_letter"]

    here.tick.run()
    assert topic.types == ["dead_letter"]
    assert here.markers() == []
    assert topic.told[0].data["reason"]["code"] == "input_missing"
    assert topic.told[0].data["job"] is None


def test_what_is_no_event_is_told_as_well(here: Scene, topic: Topic) -> None:
    here.dispatcher.refuse("{", id="", source="", via="queue/q", at=here.world.now, why="no JSON")
    here.tick.run()

    assert topic.types == ["dead_letter"]
    assert topic.told[0].data["pipeline"] is None


def test_a_topic_that_is_down_keeps_no_run_up(here: Scene, topic: Topic) -> None:
    topic.down = True
    here.dispatcher.handle(event())
    here.tick.run()
    here.workspace.end(here.record().attempt.job_name, "Running")
    here.tick.run()
    assert here.record().state is State.RUNNING
    assert ends(here).state is State.COMPLETED
    # It is not finished before it is told, and nothing else waits for that.
    assert len(here.markers()) == 1
    assert len(here.decisions()) == 1

    topic.down = False
    here.tick.run()
    assert topic.types == ["submitted", "completed"]
    assert here.markers() == []


def test_each_look_that_could_not_tell_says_so_under_one_name(
    here: Scene, topic: Topic, caplog: pytest.LogCaptureFixture
) -> None:
    """What the alert counts: of a run on its way, and of one that is over, each minute again."""
    topic.down = True
    here.dispatcher.handle(event())
    here.tick.run()
    ends(here)
    here.tick.run()

    states = [
        vars(line)["state"]
        for line in caplog.records
        if getattr(line, "action", None) == "outcome_delayed"
    ]
    assert states == ["submitted", "completed", "completed"]


def test_a_topic_that_is_down_keeps_no_chain_up(here: Scene, topic: Topic) -> None:
    topic.down = True
    here.publish(trigger(), after("next"))
    here.dispatcher.handle(event())
    ends(here)

    assert here.record("next").state is State.SUBMITTED


@pytest.mark.parametrize("call", ["swap ledger/", "put history/", "delete open/"])
def test_what_could_not_be_written_down_is_told_again_under_the_same_id(
    here: Scene, topic: Topic, call: str
) -> None:
    here.dispatcher.handle(event())
    here.workspace.end(here.record().attempt.job_name, "Completed")
    fail(here.world, call, StorageUnavailable("storage is down"))
    for _ in range(3):
        here.tick.run()

    assert here.markers() == []
    assert list(dict.fromkeys(topic.types)) == ["submitted", "completed"]
    assert len({event.id for event in topic.told}) == 2


def test_an_outcome_says_what_ran_on_what_and_what_came_of_it(here: Scene, topic: Topic) -> None:
    here.dispatcher.handle(event())
    record = ends(here)
    told = topic.told[-1]

    assert told.id == f"{record.run_id}.1.completed"
    assert told.source == f"/signalbox/{DEPLOYMENT}"
    assert told.type == "signalbox.run.completed"
    assert told.subject == record.run_id
    assert told.time == record.transitions[-1].at
    assert told.via == f"run/{PIPELINE}"
    assert told.data == {
        "run": record.run_id,
        "trigger": TRIGGER,
        "pipeline": PIPELINE,
        "version": "v1",
        "status": "completed",
        "attempt": 1,
        "job": record.attempt.job_name,
        "depth": 0,
        "reason": None,
        "inputs": {"data": event().data["url"]},
        "outputs": {},
        "event": {
            "id": event().id,
            "source": event().source,
            "type": event().type,
            "subject": event().subject,
        },
    }


def test_the_same_outcome_always_has_the_same_id(here: Scene) -> None:
    here.dispatcher.handle(event())
    record = ends(here, "Failed")

    ids = {
        state: outcome(record, state, DEPLOYMENT).id for state in (State.SUBMITTED, State.FAILED)
    }
    assert len(set(ids.values())) == 2
    later = record.model_copy(update={"announced": (State.FAILED,), "failed_steps": ({},)})
    assert all(outcome(later, state, DEPLOYMENT).id == id for state, id in ids.items())


def test_only_what_was_reached_and_not_told_is_left_to_tell(here: Scene) -> None:
    here.dispatcher.handle(event())
    record = here.record()
    assert untold(record) == [State.SUBMITTED]
    assert untold(record.model_copy(update={"announced": (State.SUBMITTED,)})) == []
    failed = ends(here, "Failed").model_copy(update={"announced": ()})
    assert untold(failed) == [State.SUBMITTED, State.FAILED]


def test_without_a_topic_nothing_is_left_to_tell() -> None:
    here = Scene()
    here.publish(trigger())
    here.dispatcher.handle(event())
    assert ends(here).announced == ()
    assert here.markers() == []


# Chains.


def after(name: str, run: dict[str, Any] | None = None, **more: Any) -> TriggerDefinition:
    return TriggerDefinition.model_validate(
        {
            "name": name,
            "spec": {"run": {"trigger": TRIGGER} if run is None else run},
            "action": {
                "pipeline": PIPELINE,
                "inputs": {"data": "${{ event.data.inputs.data }}"},
            },
            **more,
        }
    )


@pytest.mark.parametrize(
    ("status", "wanted", "starts"),
    [
        ("Completed", "completed", True),
        ("Failed", "failed", True),
        ("Canceled", "canceled", True),
        ("Failed", "completed", False),
        ("Canceled", "failed", False),
    ],
)
def test_a_run_may_follow_on_the_end_of_another(
    here: Scene, status: str, wanted: str, starts: bool
) -> None:
    here.publish(trigger(), after("next", {"trigger": TRIGGER, "status": wanted}))
    here.dispatcher.handle(event())
    first = ends(here, status)

    assert len(here.workspace.jobs) == 1 + starts
    if starts:
        record = here.record("next")
        assert record.depth == 1
        assert record.event == chained(first, DEPLOYMENT)


def test_no_run_follows_on_what_never_ran(here: Scene) -> None:
    statuses = ["completed", "failed", "canceled"]
    here.publish(trigger(inputs={}), after("next", {"status": statuses}))
    here.dispatcher.handle(event())

    assert here.record().state is State.DEAD_LETTER
    assert chained(here.record(), DEPLOYMENT) is None
    assert here.workspace.jobs == {}


def test_a_chain_is_told_once_however_often_its_end_is_repeated(here: Scene) -> None:
    here.publish(trigger(), after("next"))
    here.dispatcher.handle(event())
    fail(here.world, "put history/", StorageUnavailable("storage is down"))
    ends(here)
    for _ in range(3):
        here.dispatcher.handle(event())
        here.tick.run()

    assert len(here.workspace.jobs) == 2


def test_a_run_is_not_over_before_the_next_one_is_safe(here: Scene) -> None:
    here.publish(trigger(), after("next"))
    here.dispatcher.handle(event())
    fail(here.world, "create ledger/next", StorageUnavailable("storage is down"))
    ends(here)
    assert any(marker.trigger == TRIGGER for marker in here.markers())

    here.tick.run()
    assert here.record("next").state is State.SUBMITTED


@pytest.mark.parametrize("max_depth", [1, 2, 5])
def test_a_chain_of_runs_has_an_end(max_depth: int) -> None:
    here = Scene()
    policies = {"max_depth": max_depth}
    here.publish(trigger(), after("again", {"pipeline": PIPELINE}, policies=policies))
    here.dispatcher.handle(event())
    for _ in range(10):
        for name in here.workspace.jobs:
            here.workspace.end(name, "Completed")
        here.tick.run()
        here.world.pass_time(LEASE.total_seconds())

    assert len(here.workspace.jobs) == 1 + max_depth
    [dead] = [told for told in here.decisions() if told["decision"] == "dead_letter"]
    assert dead["reason"]["code"] == "depth_exceeded"
    assert f"policies.max_depth is {max_depth}" in dead["reason"]["text"]
    assert here.markers() == []


def test_a_failure_is_chained_and_told_without_what_its_steps_printed(
    here: Scene, topic: Topic
) -> None:
    here.dispatcher.handle(event())
    job = here.record().attempt.job_name
    here.workspace.failures[job] = [FailedStep("train", "j", "AccountKey=c2VjcmV0c2VjcmV0")]
    ends(here, "Failed")

    assert "c2Vj" not in topic.told[-1].model_dump_json()


# What is sent.


def test_a_message_is_a_cloud_event_with_what_subscriptions_filter_on(
    here: Scene, topic: Topic
) -> None:
    here.dispatcher.handle(event())
    ends(here)
    message = outcomes._message(topic.told[-1])

    assert message.message_id == topic.told[-1].id
    assert message.content_type == "application/cloudevents+json"
    assert message.application_properties == {
        "type": "signalbox.run.completed",
        "trigger": TRIGGER,
        "pipeline": PIPELINE,
    }
    assert '"specversion": "1.0"' in str(message)
    assert '"via"' not in str(message)


@pytest.mark.parametrize(
    "connection", ["x", "Endpoint=nowhere", "SharedAccessKey=c2VjcmV0c2VjcmV0"]
)
def test_a_connection_that_is_none_is_no_more_than_that(here: Scene, connection: str) -> None:
    here.dispatcher.handle(event())
    clock = [0.0]
    sender = ServiceBusOutcomes(
        "told",
        connection=connection,
        namespace=None,
        credential=Anonymous(),
        monotonic=lambda: clock[-1],
    )
    for time in (100.0, 200.0):
        clock.append(time)
        with pytest.raises(
            MessagingUnavailable, match="Service Bus cannot be reached for topic 'told'"
        ) as caught:
            sender.publish([outcome(here.record(), State.SUBMITTED, DEPLOYMENT)])
        assert "c2Vj" not in str(caught.value)


class Anonymous:
    """Never asked."""

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        raise AssertionError(scopes)


def test_a_topic_that_does_not_answer_is_left_alone_for_a_while(here: Scene) -> None:
    here.dispatcher.handle(event())
    told, clock = [outcome(here.record(), State.SUBMITTED, DEPLOYMENT)], [0.0]
    sender = ServiceBusOutcomes(
        "told", connection="x", namespace=None, credential=Anonymous(), monotonic=lambda: clock[-1]
    )
    says = []
    for time in (100.0, 101.0, 200.0):
        clock.append(time)
        with pytest.raises(MessagingUnavailable) as caught:
            sender.publish(told)
        says.append("lately" in str(caught.value))

    assert says == [False, True, False]


def test_an_outcome_is_never_larger_than_a_message_may_be(here: Scene) -> None:
    here.dispatcher.handle(event())
    record = here.record()
    assert record.body is not None
    body = record.body.model_copy(update={"inputs": {"text": "x" * 300_000}})
    large = outcome(record.model_copy(update={"body": body}), State.SUBMITTED, DEPLOYMENT)
    content = json.loads(str(outcomes._message(large)))

    assert len(json.dumps(content)) < 60_000
    assert content["data"]["run"] == record.run_id
    assert content["data"]["inputs"] is None
