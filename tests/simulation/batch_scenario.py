"""What is published where many uploads become one run, and what comes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Any, ClassVar

from shared.definitions import TriggerDefinition
from shared.events import BLOB_CREATED, Event
from shared.index import IndexedTrigger
from shared.policies import Batch, Policies
from tests.simulation.scenario import CHANGES, Scenario, policies_of

TRIGGER = "daily"

#: Each is a group, or all are one.
SITES = ("east", "north", "west")
#: Says that a group is complete.
COMPLETE = "_SUCCESS"

_SPEC = {"blob": {"account": "lake", "container": "landing", "path": "in/{site}/{file}.csv"}}
#: What was put into a group before it was published with others has no site.
_KEY, _KEY_OF_ONE = "${{ not_null(group.site, 'all') }}", "${{ captures.site }}"
_OF_MANY = {"data": "${{ manifest }}", "site": _KEY}
_OF_ONE = {"data": "${{ event.data.url }}", "site": _KEY_OF_ONE}

#: Requests that somebody who makes or joins a batch may be stuck at.
_SLOW = (
    "get ledger/",
    "create ledger/",
    "swap ledger/",
    "get groups/",
    "create groups/",
    "swap groups/",
    "list inbox/",
    "create inbox/",
    "delete",
    "put open/",
)


@dataclass(frozen=True)
class BatchScenario(Scenario):
    """A trigger with batches, which may be published anew, with others or with none."""

    keys: ClassVar[Mapping[str, str]] = {TRIGGER: _KEY}

    #: How often it is published anew, for each step.
    republish: float = 0.0
    #: In the end some groups are never quiet, and whoever makes batches has time for one a tick.
    crowd: bool = False
    #: Now and then a group that is empty is deleted by somebody.
    deleted_groups: bool = False
    #: What was answered is not delivered again, but in a crowd.
    once: bool = False

    @classmethod
    def drawn(
        cls,
        rng: Random,
        *,
        batch: Mapping[str, Any] | None = None,
        republish: float | None = None,
        crowd: bool | None = None,
        deleted_groups: bool | None = None,
        once: bool | None = None,
        overlap: str | None = None,
        uploads: int | None = None,
        policies: Mapping[str, Any] | None = None,
        changes: tuple[str, ...] = (*CHANGES, "batch", "batch", "size", "size"),
        **given: Any,
    ) -> "BatchScenario":
        """A scenario by chance, but for what is given: of a batch key by key."""
        number = rng.choice([2, 3, 5, 8, 12]) if uploads is None else uploads
        drawn = Scenario.drawn(
            rng, uploads=number, changes=changes, **{"chains": False, "slow": _slow(rng)} | given
        )
        overlap = overlap or rng.choice(["buffer_all", "buffer_all", "buffer_one"])
        limits = rng.choice([1, 1, 2, "unlimited"] if overlap == "buffer_all" else [1, 1, 2])
        fixed = {
            "concurrency": {"limit": limits} | _key(rng),
            "overlap": overlap,
            "batch": _batch(rng) | dict(batch or {}),
            **(policies or {}),
        }
        return cls(
            **{
                **vars(drawn),
                "late_compute": drawn.late_compute and rng.random() < 0.3,
                "policies": {TRIGGER: policies_of(rng, TRIGGER, fixed)},
            },
            republish=rng.choice([0, 0, 0.01]) if republish is None else republish,
            crowd=rng.random() < 0.1 if crowd is None else crowd,
            deleted_groups=rng.random() < 0.3 if deleted_groups is None else deleted_groups,
            once=rng.random() < 0.3 if once is None else once,
        )

    @property
    def triggers(self) -> list[str]:
        return [TRIGGER]

    def again(self, rng: Random) -> Policies:
        """What it may be published with later: batches of another kind, or none."""
        known = self.policies[TRIGGER]
        assert known.batch is not None
        if rng.random() < 0.3:
            return known.model_copy(update={"batch": None, "overlap": "buffer_all"})
        drawn = _batch(rng)
        if rng.random() < 0.5:
            drawn["group_by"] = list(known.batch.group_by)
        return known.model_copy(update={"batch": Batch.model_validate(drawn)})

    def _changed(self, rng: Random, what: str, trigger: str, known: Policies) -> Policies:
        """As of any trigger, or batches of another size, or none, or batches again."""
        if what == "batch" or (what == "size" and known.batch is None):
            batch = None if known.batch else self.policies[TRIGGER].batch
            changed = known.model_copy(update={"batch": batch})
        elif what == "size" and known.batch is not None:
            size = {"max_events": rng.choice([1, 2, 3, 5_000])}
            changed = known.model_copy(update={"batch": known.batch.model_copy(update=size)})
        else:
            changed = super()._changed(rng, what, trigger, known)
        return _agreeing(rng, changed)

    def upload(self, rng: Random, number: int, at: datetime) -> Event:
        site = rng.choice(SITES)
        released = rng.random() < 0.15
        return self.uploaded(number, at, f"in/{site}/{COMPLETE if released else f'{number}.csv'}")

    def uploaded(self, number: int, at: datetime, path: str) -> Event:
        """The event of an upload to a path."""
        return Event(
            id=f"upload-{number}",
            source="/accounts/lake",
            type=BLOB_CREATED,
            subject=f"/blobServices/default/containers/landing/blobs/{path}",
            time=at,
            data={
                "api": "PutBlob",
                "eTag": f"0x{number}",
                "url": f"https://lake.blob.core.windows.net/landing/{path}",
            },
        )

    def indexed(self, name: str, at: datetime, policies: Policies | None = None) -> IndexedTrigger:
        return published(policies or self.policies[name], at)


def published(policies: Policies, at: datetime) -> IndexedTrigger:
    """The trigger with these policies."""
    inputs, key = (_OF_MANY, _KEY) if policies.batch else (_OF_ONE, _KEY_OF_ONE)
    if policies.concurrency.key:
        concurrency = policies.concurrency.model_copy(update={"key": key})
        policies = policies.model_copy(update={"concurrency": concurrency})
    definition = {
        "name": TRIGGER,
        "spec": _SPEC,
        "action": {"pipeline": "train", "inputs": inputs},
        "policies": policies,
    }
    return IndexedTrigger(
        definition=TriggerDefinition.model_validate(definition),
        revision=f"{hash(repr(policies))}",
        effective_from=at,
    )


def _agreeing(rng: Random, policies: Policies) -> Policies:
    """Policies that go together: a batch is never skipped, and only batches stay open."""
    overlap = policies.overlap
    if policies.batch is not None and (overlap == "skip" or rng.random() < 0.3):
        overlap = "buffer_one" if policies.concurrency.limit is not None else "buffer_all"
    elif policies.batch is None and overlap == "buffer_one":
        overlap = rng.choice(["buffer_all", "skip"])
    elif overlap == "buffer_one" and not policies.bounded:
        overlap = "buffer_all"
    return policies.model_copy(update={"overlap": overlap})


def _batch(rng: Random) -> dict[str, Any]:
    quiet, longest = rng.choice([("PT0S", "PT1M"), ("PT1M", "PT3M"), ("PT2M", "PT3M")])
    return {
        "group_by": rng.choice([[], ["site"], ["site"]]),
        "wait_after_last_change": quiet,
        "max_wait": longest,
        "max_events": rng.choice([1, 2, 3, 5_000]),
        "release_on": rng.choice([None, {"suffix": {"subject": f"/{COMPLETE}"}}]),
    }


def _key(rng: Random) -> dict[str, str]:
    return {"key": _KEY} if rng.random() < 0.3 else {}


def _slow(rng: Random) -> str | None:
    return rng.choice(_SLOW) if rng.random() < 0.5 else None
