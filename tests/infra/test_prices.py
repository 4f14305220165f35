"""The arithmetic of prices, and that docs/scale.md does it right. Nobody is asked."""

from decimal import Decimal
from typing import Any

from infra import prices
from infra.prices import METERS, Meter, Tier, cost, table, tiers
from tests.unit.pages import page

#: Of each meter: unit, and (from, price) of its tiers, as docs/scale.md has them.
LISTED = {
    "storage requests, all as writes": [("0", "0.05")],
    "executions": [("0", "0"), ("25000", "0.000004")],
    "execution time, at the most": [("0", "0"), ("100000", "0.000037")],
    "Event Grid": [("0", "0"), ("1", "0.06")],
    "Service Bus, outcomes": [("0", "0"), ("13", "0.8"), ("100", "0.5"), ("2500", "0.2")],
    "Service Bus, a month": [("0", "0.013441")],
}


def listed(meter: Meter) -> list[Tier]:
    return [Tier(begins=Decimal(a), price=Decimal(b)) for a, b in LISTED[meter.what]]


def item(unit: str, begins: float, price: float) -> dict[str, Any]:
    return {"unitOfMeasure": unit, "tierMinimumUnits": begins, "unitPrice": price}


def test_each_tier_s_price_is_for_what_lies_in_it() -> None:
    graded = [Tier(begins=Decimal(a), price=Decimal(b)) for a, b in ((0, 0), (13, 8), (100, 5))]

    assert cost(graded, Decimal(13)) == 0
    assert cost(graded, Decimal(14)) == 8
    assert cost(graded, Decimal(101)) == 87 * 8 + 5
    assert cost([], Decimal(5)) == 0


def test_entries_of_another_unit_and_repeated_ones_do_not_count() -> None:
    found = tiers([item("1M", 0, 0.8), item("1M", 0, 0.8), item("1/Month", 0, 10)], "1M")

    assert found == [Tier(begins=Decimal(0), price=Decimal("0.8"))]


def test_what_has_no_region_is_found_and_what_is_missing_is_told() -> None:
    def ask(chosen: str) -> list[dict[str, Any]]:
        if "Service Bus" in chosen:
            return []
        return [item("10K", 0, 0.05), item("100K", 0, 0.06)] if "'Global'" in chosen else []

    lines = table("atlantis", ask)

    assert lines[0].split()[-6] == "1,100"
    assert "55.00" in lines[0]
    assert "Event Grid" in lines[3]
    assert "3.60" in lines[3]
    assert "not in the list for atlantis" in lines[-2]
    assert "of those that are listed" in lines[-1]


def test_a_region_is_a_word() -> None:
    for wrong in ([], ["a", "b"], ["x' or 1 eq 1"]):
        assert prices.main(wrong) == 2


def test_the_page_adds_up() -> None:
    said = {
        row[0]: row[3] for row in page("docs/scale.md").table("meter", "arithmetic", "price", "USD")
    }
    computed = {meter.what: f"{cost(listed(meter), meter.quantity):.2f}" for meter in METERS}
    beside = {"tags of final records": "3.90"}
    total = sum(Decimal(amount) for amount in (computed | beside).values())

    assert said == computed | beside | {"**all of these, at the most**": f"**{total:.2f}**"}


def test_the_quantities_are_those_that_were_counted() -> None:
    counted = {
        row[0]: row[1]
        for row in page("docs/performance.md").table(
            "", "one host, 120 uploads", "four hosts, 100 uploads", "before, four hosts"
        )
    }
    requests = Decimal(counted["no limit"])
    by_name = {meter.what: meter.quantity for meter in METERS}

    assert by_name["storage requests, all as writes"] * 10_000 == requests * 1_000_000
