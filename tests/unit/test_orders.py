"""The runs that are wanted, and what each would run."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import envelopes, wording
from shared.definitions import MANUAL_TRIGGER, TriggerDefinition
from shared.events import Event
from shared.index import Paused
from shared.ledger import Reason, run_key
from shared.orders import Order
from shared.published import PublishedPipeline
from shared.triggers import Match, Near
from tests.fakes import World
from tests.unit import scene
from tests.unit.scene import DEPLOYMENT, PIPELINE, Scene, event, pipeline, trigger

URL = "https://contosolake.blob.core.windows.net/landing/a.csv"


@pytest.fixture
def here() -> Scene:
    here = Scene()
    here.publish(trigger())
    return here


def request(id: str = "k", name: str = PIPELINE, **content: Any) -> Event:
    """What a client asks for by POST /api/pipelines/<name>/runs."""
    return envelopes.request(
        content,
        id=id,
        source="/http/key",
        type="signalbox.run.requested",
        via=f"manual/{name}",
        now=World().now,
    )


def bound(here: Scene, order: Order) -> tuple[PublishedPipeline | None, Any]:
    here.world.calls.clear()
    found = here.orders.bind(order, here.index.read().snapshot)
    # A dry run is the same code, so it changes nothing.
    assert not [call for call in here.world.calls if not call.startswith("get")]
    return found


def matched(here: Scene, happened: Event, name: str = scene.TRIGGER) -> Order:
    given = here.index.read().snapshot.triggers[name]
    verdict = here.dispatcher.matcher(here.index.read().snapshot).judge(given, happened)
    assert isinstance(verdict, Match)
    return here.orders.matched(happened, verdict)


def test_a_match_orders_a_run_under_the_event_s_key(here: Scene) -> None:
    order = matched(here, event())

    assert (order.trigger, order.key) == (scene.TRIGGER, run_key(DEPLOYMENT, event()))
    assert order.run_id == f"{scene.TRIGGER}.{order.key}"
    assert order.captures == {"region": "north", "file": "march"}
    assert (order.depth, order.max_depth, order.replay_of) == (0, 5, None)


def test_a_bound_order_names_its_pipeline_and_where_it_comes_from(here: Scene) -> None:
    order = matched(here, event())
    found, made = bound(here, order)

    assert found == pipeline()
    assert made.body.tags["signalbox_run"] == order.run_id
    assert made.body.tags["signalbox_pipeline"] == "churn-training@v1"


def test_messages_are_told_apart_by_their_own_id_where_the_trigger_says_so(here: Scene) -> None:
    def message(number: int) -> Event:
        [made] = envelopes.message(
            b"{}",
            via="queue/inbox",
            sequence_number=number,
            enqueued=here.world.now,
            message_id="m",
        )
        return made

    def listening(**spec: str) -> Any:
        changed = {"spec": {"service_bus": {"queue": "inbox", **spec}}}
        return trigger().model_validate({**trigger().model_dump(), **changed})

    by_place, by_id = listening(), listening(dedupe_by="message_id")
    assert here.orders.key(by_place, message(1)) != here.orders.key(by_place, message(2))
    assert here.orders.key(by_id, message(1)) == here.orders.key(by_id, message(2))


def test_a_pipeline_that_is_not_there_is_a_reason_that_lists_those_that_are(here: Scene) -> None:
    found, why = bound(here, here.orders.requested(request(name="other")))

    assert found is None
    assert isinstance(why, Reason)
    assert why.code == "pipeline_missing"
    assert "No pipeline named 'other' is published" in why.text
    assert why.text.endswith("There are: churn-training.")


def test_a_pinned_pipeline_is_found_and_a_wrong_version_is_not(here: Scene) -> None:
    here.published.write(pipeline(version="v0"))

    found, _ = bound(here, here.orders.requested(request(name=f"{PIPELINE}@v0")))
    assert found is not None
    assert found.version == "v0"
    found, why = bound(here, here.orders.requested(request(name=f"{PIPELINE}@v9")))
    assert found is None
    assert isinstance(why, Reason)


def test_an_event_that_names_a_pipeline_it_may_not_is_a_reason(here: Scene) -> None:
    here.publish(trigger(pipeline="${{ captures.region }}", allow=[PIPELINE]))
    found, why = bound(here, matched(here, event()))

    assert found is None
    assert isinstance(why, Reason)
    assert why.code == "pipeline_not_allowed"
    assert "'north'; allowed are: churn-training" in why.text
    here.publish(trigger(pipeline="${{ captures.region }}", allow=["north", PIPELINE]))
    _, why = bound(here, matched(here, event()))
    assert isinstance(why, Reason)
    assert why.code == "pipeline_missing"


@pytest.mark.parametrize("parts", ["x" * 900_000, ["x" * 900_000], [5], "azureml:"])
def test_a_reason_is_not_as_long_as_what_an_event_says(here: Scene, parts: Any) -> None:
    here.publish(trigger(pipeline="${{ join('-', event.data.parts) }}", allow=[PIPELINE]))
    found, why = bound(here, matched(here, event(data={"parts": parts})))

    assert found is None
    assert isinstance(why, Reason)
    assert why.code == "pipeline_not_allowed"
    assert len(why.text) < 600


def test_not_all_pipelines_are_named_when_there_are_many(here: Scene) -> None:
    here.publish(pipelines=[pipeline(name=f"p{number:03}") for number in range(100)])
    _, why = bound(here, here.orders.requested(request(name="other")))

    assert isinstance(why, Reason)
    assert re.search(r"p000, p001, .*p01\d and 8\d more\.$", why.text)


# What a client asks for.


def test_a_client_s_values_become_the_job_s_with_their_types(here: Scene) -> None:
    takes = {
        "data": {"type": "uri_file"},
        "seed": {"type": "integer"},
        "fast": {"type": "boolean"},
        "rate": {"type": "number", "default": 0.5},
    }
    here.publish(pipelines=[pipeline(inputs=takes)])
    order = here.orders.requested(
        request(
            inputs={"data": URL, "seed": 0, "fast": False},
            experiment_name="by-hand",
            compute="gpu",
            tags={"who": "me"},
            force_rerun=True,
        )
    )
    _, made = bound(here, order)

    assert order.trigger == MANUAL_TRIGGER
    assert {name: made.body.inputs[name] for name in ("seed", "fast", "rate")} == {
        "seed": 0,
        "fast": False,
        "rate": 0.5,
    }
    assert made.body.inputs["data"].path == URL
    assert made.body.experiment_name == "by-hand"
    assert made.body.settings == {"default_compute": "gpu", "force_rerun": True}
    assert made.body.tags["who"] == "me"


@pytest.mark.parametrize("content", [None, {}, {"inputs": None, "tags": None, "compute": None}])
def test_a_client_may_leave_everything_to_the_pipeline(here: Scene, content: Any) -> None:
    here.publish(pipelines=[pipeline(inputs={})])
    asked = request().model_copy(update={"data": content})
    _, made = bound(here, here.orders.requested(asked))

    assert made.problems == {}
    assert made.body.experiment_name == PIPELINE


NAMES = [
    'a" || settings.stage || "b',
    "a}}b",
    "}}",
    "${{ settings.stage }}",
    'a"',
    "a\\",
    "a.b",
    "a'b",
    "a`b",
    "ä",
    " ",
    "",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_client_s_names_are_no_expressions_either(here: Scene, name: str) -> None:
    here.publish(pipelines=[pipeline(inputs={name: {"type": "string"}})])
    order = here.orders.requested(request(inputs={name: "value"}, tags={name: "tagged"}))
    _, made = bound(here, order)

    assert made.problems == {}
    assert made.body.inputs == {name: "value"}
    assert made.body.tags[name] == "tagged"


@pytest.mark.parametrize("text", ["${{ settings.stage }}", "x ${{ event.id }}", "${{", "}}"])
def test_a_client_s_values_are_never_taken_for_expressions(here: Scene, text: str) -> None:
    here.publish(pipelines=[pipeline(inputs={"note": {"type": "string"}})])
    _, made = bound(here, here.orders.requested(request(inputs={"note": text})))
    assert made.body is None or made.body.inputs == {"note": text}
    assert "dev" not in made.text

    asked = request(inputs={"note": "x"}, tags={"t": text}, experiment_name=text, compute=text)
    _, made = bound(here, here.orders.requested(asked))
    assert made.body.tags["t"] == text
    assert made.body.experiment_name == text
    assert made.body.settings["default_compute"] == text


def test_a_client_cannot_say_where_a_job_comes_from(here: Scene) -> None:
    here.publish(pipelines=[pipeline(inputs={})])
    asked = request(tags={"signalbox_run": "forged", "signalbox_deployment": "forged"})
    order = here.orders.requested(asked)
    _, made = bound(here, order)

    assert made.body.tags["signalbox_run"] == order.run_id
    assert made.body.tags["signalbox_deployment"] == DEPLOYMENT


names = st.sampled_from(NAMES) | st.text(st.characters(codec="utf-8"), max_size=20)
literals = (
    st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"))
    | st.sampled_from(["${{ settings.stage }}", "$(id)"])
)


@given(st.dictionaries(names, literals, max_size=3), st.dictionaries(names, literals, max_size=3))
def test_any_request_is_bound_as_it_stands_or_refused(
    inputs: dict[str, Any], tags: dict[str, Any]
) -> None:
    here = Scene()
    here.publish(pipelines=[pipeline(inputs={name: {"type": "string"} for name in inputs})])
    _, made = bound(here, here.orders.requested(request(inputs=inputs, tags=tags)))

    if made.body is None:
        assert made.problems
        return
    for name, value in inputs.items():
        if isinstance(value, str):
            assert made.body.inputs[name] == value
    for name, value in tags.items():
        if isinstance(value, str) and not name.startswith("signalbox_"):
            told = made.body.tags[name]
            # What cannot be printed is spelled.
            assert told == value[:256] if value.isprintable() else told.isprintable()


# Once more.


def test_a_retry_has_a_key_of_its_own_and_always_the_same(here: Scene) -> None:
    here.dispatcher.handle(event())
    record, order = here.record(), matched(here, event())
    again = here.orders.again(record, order)

    assert again.key != order.key
    assert again == here.orders.again(record, order)
    assert again.replay_of == record.run_id
    assert again.action == order.action
    _, made = bound(here, again)
    assert made.body.tags["signalbox_replay_of"] == record.run_id
    assert made.body.tags["signalbox_run"] == again.run_id


def scheduled(**spec: Any) -> TriggerDefinition:
    """A trigger that passes on what it is told of its time."""
    return TriggerDefinition.model_validate(
        {
            "name": "nightly",
            "spec": {"schedule": spec},
            "action": {
                "pipeline": PIPELINE,
                "inputs": {
                    "data": "azureml://datastores/lake/paths/${{ window_start }}/${{ window_end }}"
                },
                "tags": {"due": "${{ scheduled_time }}"},
            },
        }
    )


SIX = datetime(2026, 3, 2, 6, tzinfo=UTC)


def occurrence(here: Scene, at: datetime = SIX, **spec: Any) -> Order:
    here.publish(scheduled(**spec))
    return here.orders.occurrence(here.index.read().snapshot.triggers["nightly"], at)


def test_a_time_of_a_schedule_knows_what_lies_between_it_and_the_one_before(here: Scene) -> None:
    order = occurrence(here, cron="0 6 * * 1-5", time_zone="UTC")
    _, made = bound(here, order)

    # A Monday: the time before was on Friday.
    assert made.body.tags["due"] == "2026-03-02T06:00:00Z"
    assert made.body.inputs["data"].path.endswith("/2026-02-27T06:00:00Z/2026-03-02T06:00:00Z")
    assert (order.trigger, order.depth, order.paused) == ("nightly", 0, None)
    assert (order.event.via, order.event.time) == ("schedule/nightly", SIX)


@pytest.mark.parametrize(
    ("spec", "begins"),
    [
        ({"cron": "0 6 * * *", "start_time": "2026-03-02T06:00:00Z"}, "2026-03-01T06:00:00Z"),
        ({"every": "PT4H", "start_time": "2026-03-02T06:00:00Z"}, "2026-03-02T02:00:00Z"),
        ({"cron": ["0 6 * * *", "30 4 * * *"]}, "2026-03-02T04:30:00Z"),
        ({"cron": "0 6 * * *", "exclude": "2026-02-01/2026-03-01"}, "2026-01-31T06:00:00Z"),
    ],
)
def test_the_window_of_a_time_begins_at_the_one_before_also_before_the_first(
    here: Scene, spec: dict[str, Any], begins: str
) -> None:
    assert occurrence(here, **spec).event.data["window_start"] == begins


def test_each_second_of_each_schedule_has_a_key_of_its_own(here: Scene) -> None:
    order = occurrence(here, every="PT1M")
    again = here.orders.occurrence(here.index.read().snapshot.triggers["nightly"], SIX)
    berlin = SIX.astimezone(ZoneInfo("Europe/Berlin"))
    abroad = here.orders.occurrence(here.index.read().snapshot.triggers["nightly"], berlin)
    later = here.orders.occurrence(
        here.index.read().snapshot.triggers["nightly"], SIX + timedelta(seconds=1)
    )

    assert order.key == again.key == abroad.key
    assert order.key != later.key
    forged = order.event.model_copy(update={"via": "http/nightly"})
    assert run_key(DEPLOYMENT, forged) != order.key


def test_what_bounds_a_schedule_is_what_whoever_paused_it_said(here: Scene) -> None:
    here.publish(scheduled(cron="0 6 * * *"))
    indexed = here.index.read().snapshot.triggers["nightly"]
    paused = Paused(note="n", at=SIX, while_paused="hold")
    order = here.orders.occurrence(indexed.model_copy(update={"paused": paused}), SIX)

    assert order.policies is not None
    assert (order.policies.overlap, order.policies.while_paused) == ("skip", "hold")
    plain = here.orders.occurrence(indexed, SIX).policies
    assert plain is not None
    assert plain.while_paused == "drop"


def test_only_its_own_schedule_takes_a_time(here: Scene) -> None:
    order = occurrence(here, cron="0 6 * * *")
    snapshot = here.index.read().snapshot
    matcher = here.dispatcher.matcher(snapshot)

    assert isinstance(matcher.judge(snapshot.triggers["nightly"], order.event), Match)
    for via in ("", "schedule/other", "http/nightly"):
        other = order.event.model_copy(update={"via": via})
        refused = matcher.judge(snapshot.triggers["nightly"], other)
        assert isinstance(refused, Near)
        assert refused.check == "due by its schedule"
        assert wording.refusal(refused.check) == "it is not due by its schedule"
