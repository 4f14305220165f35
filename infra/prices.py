"""What a million events cost at list price in one region, asked of Azure's public price list.

    python -m infra.prices westeurope

Needs no account. docs/scale.md says where the quantities come from, and what is not in them.
Source: https://learn.microsoft.com/rest/api/cost-management/retail-prices/azure-retail-prices
"""

import json
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

API = "https://prices.azure.com/api/retail/prices"
#: Seconds.
_TIMEOUT = 60

#: Hours that Azure counts a month as.
_MONTH = 730


@dataclass(frozen=True, kw_only=True)
class Meter:
    """Something that is billed."""

    what: str
    #: How many units a million events take; in `unit`, as the list counts them.
    quantity: Decimal
    unit: str
    #: Which entries of the list it is, beside the region.
    filter: str


@dataclass(frozen=True, order=True, kw_only=True)
class Tier:
    """From which quantity on a unit has which price."""

    begins: Decimal
    price: Decimal


def _storage(meter: str) -> str:
    product = "serviceName eq 'Storage' and productName eq 'General Block Blob v2'"
    return f"{product} and skuName eq 'Hot LRS' and meterName eq '{meter}'"


def _flex(meter: str) -> str:
    product = "serviceName eq 'Functions' and productName eq 'Flex Consumption'"
    return f"{product} and skuName eq 'On Demand' and meterName eq '{meter}'"


#: A million uploads, each one run without a limit. Requests as docs/performance.md counts them.
METERS = (
    Meter(
        what="storage requests, all as writes",
        quantity=Decimal(1_100),
        unit="10K",
        filter=_storage("Hot LRS Write Operations"),
    ),
    Meter(
        what="executions",
        quantity=Decimal(300_000),
        unit="10",
        filter=_flex("On Demand Total Executions"),
    ),
    Meter(
        what="execution time, at the most",
        quantity=Decimal(6_000_000),
        unit="1 GB Second",
        filter=_flex("On Demand Execution Time"),
    ),
    Meter(
        what="Event Grid",
        quantity=Decimal(60),
        unit="100K",
        filter="serviceName eq 'Event Grid' and skuName eq 'Standard' "
        "and meterName eq 'Standard Operations'",
    ),
    Meter(
        what="Service Bus, outcomes",
        quantity=Decimal(4),
        unit="1M",
        filter="serviceName eq 'Service Bus' and skuName eq 'Standard' "
        "and meterName eq 'Standard Messaging Operations'",
    ),
    Meter(
        what="Service Bus, a month",
        quantity=Decimal(_MONTH),
        unit="1/Hour",
        filter="serviceName eq 'Service Bus' and skuName eq 'Standard' "
        "and meterName eq 'Standard Base Unit'",
    ),
)


def cost(tiers: Iterable[Tier], quantity: Decimal) -> Decimal:
    """What a quantity costs when each tier's price is for what lies in it."""
    total, ordered = Decimal(0), sorted(tiers)
    for number, tier in enumerate(ordered):
        above = ordered[number + 1 : number + 2]
        upper = min(quantity, above[0].begins) if above else quantity
        total += max(Decimal(0), upper - tier.begins) * tier.price
    return total


def tiers(items: Iterable[dict[str, Any]], unit: str) -> list[Tier]:
    """The tiers of a meter, from the list's entries; each may be there several times."""
    return sorted(
        {
            Tier(begins=Decimal(str(one["tierMinimumUnits"])), price=Decimal(str(one["unitPrice"])))
            for one in items
            if one["unitOfMeasure"] == unit
        }
    )


def table(region: str, ask: Callable[[str], list[dict[str, Any]]]) -> list[str]:
    """A line for each meter, and the sum."""
    lines, total, missing = [], Decimal(0), False
    for meter in METERS:
        chosen = f"armRegionName eq '{region}' and priceType eq 'Consumption' and {meter.filter}"
        found = tiers(ask(chosen), meter.unit)
        # What is billed alike everywhere is listed without a region.
        found = found or tiers(ask(chosen.replace(f"'{region}'", "'Global'")), meter.unit)
        if not found:
            missing = True
            lines.append(f"{meter.what:<34} not in the list for {region}, by {meter.unit}")
            continue
        amount = cost(found, meter.quantity)
        total += amount
        shown = ", then ".join(f"{tier.price} from {tier.begins}" for tier in found)
        lines.append(
            f"{meter.what:<34} {amount:>10.2f}  {meter.quantity:,} × {meter.unit}: {shown}"
        )
    lines.append(
        f"{'of those that are listed' if missing else 'all of these':<34} {total:>10.2f}  USD"
    )
    return lines


def _ask(chosen: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    address: str | None = f"{API}?{urllib.parse.urlencode({'$filter': chosen})}"
    while address and address.startswith(f"{API}?"):
        with urllib.request.urlopen(address, timeout=_TIMEOUT) as answer:
            content = json.load(answer)
        found += content["Items"]
        address = content.get("NextPageLink")
    return found


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or not arguments[0].isalnum():
        print("Name one region: python -m infra.prices westeurope", file=sys.stderr)
        return 2
    try:
        print("\n".join(table(arguments[0], _ask)))
    except (urllib.error.URLError, OSError, ValueError, KeyError) as error:
        print(f"{API} did not answer as it should: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
