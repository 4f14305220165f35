"""The parameters of a sweep's trials, drawn from its search space."""

import itertools
import math
import random
from collections.abc import Iterator, Mapping
from typing import Any

from emulator.azureml.execution.failures import StepFailure


def samples(
    space: Mapping[str, Any], algorithm: str, count: int, seed: str
) -> Iterator[dict[str, str]]:
    """At most `count` sets of parameters; the same for the same seed.

    `grid` goes through all choices; everything else is drawn at random, `bayesian` too.
    """
    if algorithm == "grid":
        choices = [[(key, value) for value in d.get("values") or ()] for key, d in space.items()]
        for chosen in itertools.islice(itertools.product(*choices), count):
            yield {key: str(value) for key, value in chosen}
        return
    source = random.Random(seed)
    for _ in range(count):
        yield {key: str(_drawn(key, declared, source)) for key, declared in space.items()}


def _drawn(name: str, declared: Mapping[str, Any], source: random.Random) -> Any:
    kind = str(declared.get("type"))
    step = declared.get("q")
    low, high = declared.get("min_value", 0), declared.get("max_value", 0)
    mu, sigma = declared.get("mu", 0), declared.get("sigma", 1)
    match kind.removeprefix("q"):
        case "choice":
            return source.choice(declared["values"])
        case "randint":
            return source.randrange(int(declared["upper"]))
        case "uniform":
            value = source.uniform(low, high)
        case "loguniform":
            value = math.exp(source.uniform(low, high))
        case "normal":
            value = source.gauss(mu, sigma)
        case "lognormal":
            value = math.exp(source.gauss(mu, sigma))
        case _:
            raise StepFailure("UserError", f"The search space of {name!r} has no type {kind!r}.")
    return round(value / step) * step if step else value
