import pytest
from pydantic import ValidationError

from shared.specs import SOURCES, Filter, RunSpec, ServiceBusSpec, Spec


@pytest.mark.parametrize("source", SOURCES)
def test_a_spec_knows_its_source(source: str) -> None:
    given = {
        "blob": {"account": "lake", "container": "landing", "path": "in/{file}"},
        "service_bus": {"queue": "orders"},
        "event": {"type": "com.example.done"},
        "schedule": {"every": "PT1H"},
    }.get(source, {})

    assert Spec.model_validate({source: given}).source == source


@pytest.mark.parametrize("given", [{}, {"http": {}, "run": {}}])
def test_a_spec_has_exactly_one_source(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="name exactly one of"):
        Spec.model_validate(given)


@pytest.mark.parametrize(
    ("given", "via"),
    [
        ({"queue": "orders"}, "queue/orders"),
        ({"topic": "sales", "subscription": "ml"}, "topic/sales/ml"),
    ],
)
def test_a_message_comes_by_a_queue_or_a_subscription(given: dict[str, str], via: str) -> None:
    assert ServiceBusSpec.model_validate(given).via == via


def test_one_status_may_be_written_without_a_list() -> None:
    assert RunSpec.model_validate({"status": "failed"}).status == ("failed",)


def test_a_filter_is_written_as_it_is_read() -> None:
    given = {"not": {"suffix": {"subject": "/_SUCCESS"}}}
    read = Filter.model_validate(given)

    assert read.not_ is not None
    assert Filter.model_validate_json(read.model_dump_json()) == read


def test_a_filter_asks_for_attributes_only() -> None:
    with pytest.raises(ValidationError, match="`where` for what is in data"):
        Filter.model_validate({"exact": {"data": "x"}})
