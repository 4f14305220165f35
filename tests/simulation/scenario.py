"""What is published in a history, and how much comes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Any, ClassVar

from shared.compute_definitions import ComputeDefinition
from shared.definitions import TriggerDefinition
from shared.events import BLOB_CREATED, Event
from shared.index import IndexedTrigger
from shared.inputs import PipelineInput
from shared.policies import Policies
from shared.published import PublishedPipeline

DEPLOYMENT = "sim"
MAX_DEPTH = 2

#: Where uploads go. The last is a near miss of one trigger.
PATHS = ("in/north/a.csv", "in/south/b.csv", "in/north/c.txt")

#: `all` takes every file under in/, `north` the CSV files of one folder: there a text file is a
#: near miss, and an upload without a content type is a dead letter. `after` follows on every run
#: that completes or fails, its own as well.
SPECS: dict[str, dict[str, Any]] = {
    "all": {"blob": {"account": "lake", "container": "landing", "path": "in/{site}/{file}"}},
    "north": {"blob": {"account": "lake", "container": "landing", "path": "in/north/{file}.csv"}},
    "after": {"run": {"pipeline": "train", "status": ["completed", "failed"]}},
}
INPUTS = {
    "all": {"data": "${{ event.data.url }}", "site": "${{ captures.site }}"},
    "north": {"data": "${{ event.data.url }}", "site": "${{ event.data.contentType }}"},
    "after": {"data": "${{ event.data.inputs.data }}", "site": "${{ event.data.status }}"},
}

KEYS = {
    "all": "${{ captures.site }}",
    "north": "${{ captures.file }}",
    "after": "${{ event.data.status }}",
}

#: What somebody changes of a trigger that is published anew; in batches more, see there.
CHANGES = ("limit", "limit", "key", "overlap", "day", "gone")

PIPELINE = PublishedPipeline(
    name="train",
    version="0123456789abcdef",
    component_id="/components/train/versions/0123456789abcdef",
    inputs={"data": PipelineInput(type="uri_file"), "site": PipelineInput(type="string")},
    outputs={},
    settings={"default_compute": "cluster"},
    tags={},
)

#: Of which every look finds another version.
TABLE = PipelineInput(type="mltable", path="azureml:sales@latest")

COMPUTE = ComputeDefinition.kept({"name": "cluster", "type": "amlcompute"})


@dataclass(frozen=True)
class Scenario:
    """One history's triggers and uploads."""

    #: What runs of a trigger may have in common that share a limit.
    keys: ClassVar[Mapping[str, str]] = KEYS

    uploads: int
    #: Steps of the scheduler until nothing goes wrong any more.
    steps: int
    #: Whether runs follow on runs: that makes a history several times as long.
    chains: bool
    #: Whether the pipeline's compute is defined, and there only later, or never.
    late_compute: bool
    #: What bounds the runs of each trigger.
    policies: Mapping[str, Policies]
    #: Whether jobs read the latest version of a table.
    labels: bool = False
    #: How the names of calls begin that often take far longer than others.
    slow: str | None = None
    #: How often a trigger is published anew, or removed, for each step; None leaves it to chance.
    anew: float | None = None
    #: What of it is changed then; see `Scenario.changed`.
    changes: tuple[str, ...] = CHANGES

    @classmethod
    def drawn(
        cls,
        rng: Random,
        *,
        uploads: int | None = None,
        steps: int | None = None,
        chains: bool | None = None,
        late_compute: bool | None = None,
        policies: Mapping[str, Any] | None = None,
        labels: bool | None = None,
        slow: str | None = None,
        anew: float | None = None,
        changes: tuple[str, ...] = CHANGES,
    ) -> "Scenario":
        """A scenario by chance, but for what is given: policies key by key, of every trigger."""
        chains = rng.random() < 0.2 if chains is None else chains
        late = rng.random() < 0.2 if late_compute is None else late_compute
        number = rng.randint(1, 2) if chains else rng.choice([1, 2, 3, 4, 6, 8])
        number = number if uploads is None else uploads
        return cls(
            uploads=number,
            steps=rng.randint(20, 200 + 60 * number) if steps is None else steps,
            chains=chains,
            late_compute=late,
            policies={name: policies_of(rng, name, policies or {}) for name in SPECS},
            labels=rng.random() < 0.2 if labels is None else labels,
            slow=slow,
            anew=anew,
            changes=changes,
        )

    @property
    def pipeline(self) -> PublishedPipeline:
        """What every trigger runs."""
        inputs = {**PIPELINE.inputs, "table": TABLE} if self.labels else PIPELINE.inputs
        return PIPELINE.model_copy(update={"inputs": inputs})

    @property
    def triggers(self) -> list[str]:
        return ["all", "north", *(["after"] if self.chains else [])]

    def upload(self, rng: Random, number: int, at: datetime) -> Event:
        """A file that somebody wrote."""
        path = rng.choice(PATHS)
        return Event(
            id=f"upload-{number}",
            source="/accounts/lake",
            type=BLOB_CREATED,
            subject=f"/blobServices/default/containers/landing/blobs/{path}",
            time=at,
            data={
                "api": "PutBlob",
                # The same path again is another upload.
                "eTag": f"0x{number}",
                "url": f"https://lake.blob.core.windows.net/landing/{path}",
                **({"contentType": "text/csv"} if rng.random() < 0.8 else {}),
            },
        )

    def changed(self, rng: Random, trigger: str, known: Policies) -> Policies | None:
        """What a trigger is published with later; None: it is removed.

        That each end of a run is followed would be no promise if `after` were.
        """
        what = rng.choice([each for each in self.changes if (trigger, each) != ("after", "gone")])
        return None if what == "gone" else self._changed(rng, what, trigger, known)

    def _changed(self, rng: Random, what: str, trigger: str, known: Policies) -> Policies:
        """Policies with one of them changed."""
        concurrency = known.concurrency
        if what == "limit":
            limits = [each for each in (1, 2, None) if each != concurrency.limit]
            concurrency = concurrency.model_copy(update={"limit": rng.choice(limits)})
        elif what == "key":
            key = None if concurrency.key else self.keys[trigger]
            concurrency = concurrency.model_copy(update={"key": key})
        update: dict[str, Any] = {"concurrency": concurrency}
        if what == "overlap":
            update["overlap"] = "buffer_all" if known.overlap == "skip" else "skip"
        elif what == "day":
            update["max_runs_per_day"] = rng.choice([1, 2, 3])
        return known.model_copy(update=update)

    def indexed(self, name: str, at: datetime, policies: Policies | None = None) -> IndexedTrigger:
        """A trigger as it is published, at first or with other policies."""
        definition = {
            "name": name,
            "spec": SPECS[name],
            "action": {"pipeline": "train", "inputs": INPUTS[name]},
            "policies": policies or self.policies[name],
        }
        return IndexedTrigger(
            definition=TriggerDefinition.model_validate(definition),
            revision=name,
            effective_from=at,
        )


def policies_of(rng: Random, trigger: str, fixed: Mapping[str, Any]) -> Policies:
    """What bounds a trigger's runs, by chance, but for what is given."""
    concurrency: dict[str, Any] = {"limit": rng.choice([1, 1, 2, "unlimited"])}
    if trigger == "all" and rng.random() < 0.3:
        concurrency["key"] = "${{ captures.site }}"
    drawn = {
        "concurrency": concurrency,
        "overlap": rng.choice(["buffer_all", "buffer_all", "buffer_all", "skip"]),
        "max_runs_per_day": rng.choice([1, 2, 3, *["unlimited"] * 9]),
        "while_paused": rng.choice(["hold", "hold", "drop"]),
        "retry": {"max_attempts": rng.choice([1, 1, 2, 3])},
        "run_timeout": rng.choice([None, None, "PT5M"]),
        "max_depth": MAX_DEPTH,
    }
    return Policies.model_validate(drawn | dict(fixed))
