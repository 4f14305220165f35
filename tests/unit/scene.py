"""The product's rooms over the two in-memory ports, and short ways to say what they work on."""

import json
from collections.abc import Callable
from copy import copy
from datetime import datetime, timedelta
from random import Random
from typing import Any, Self, cast
from urllib.parse import quote

from shared import batches, envelopes, events, schedules
from shared.batches import Batches
from shared.blob_state import BlobState
from shared.clocks import Clocks
from shared.compute import Computes
from shared.definitions import TriggerDefinition
from shared.dispatcher import Dispatcher, in_turn
from shared.drops import Drops
from shared.events import Event
from shared.heartbeat import Heartbeat
from shared.history import History
from shared.inbox import Inbox
from shared.index import Index, IndexedTrigger, Snapshot
from shared.ledger import Kept, Ledger, Marker, Record
from shared.manifests import Manifests
from shared.new_blobs import NewBlobs
from shared.orders import Orders
from shared.outcomes import Outcomes
from shared.published import Published, PublishedPipeline
from shared.publishing import Publishing
from shared.schedules import Schedules
from shared.slots import Slots
from shared.submission import Submission
from shared.tick import Tick
from shared.turns import Turns
from tests.fakes import MemoryBlobs, MemoryLakes, MemoryTargets, MemoryWorkspace, World

DEPLOYMENT = "test"
TRIGGER = "on-upload"
PIPELINE = "churn-training"


def event(path: str = "sales/north/march.csv", **changes: Any) -> Event:
    """An upload to the landing container, a minute after a Scene begins."""
    etag = changes.pop("etag", "0x1")
    data = {
        "api": "PutBlob",
        "eTag": etag,
        "contentLength": 12,
        "url": f"https://contosolake.blob.core.windows.net/landing/{quote(path)}",
        **changes.pop("data", {}),
    }
    time = changes.pop("time", World().now + timedelta(minutes=1))
    given: dict[str, Any] = {
        "id": f"id-of-{path}-{etag}",
        "topic": "/subscriptions/s/storageAccounts/contosolake",
        "eventType": events.BLOB_CREATED,
        "subject": f"/blobServices/default/containers/landing/blobs/{path}",
        "eventTime": time.isoformat(),
        "data": data,
        **changes,
    }
    [made] = envelopes.parse(given, now=World().now)
    return made


def trigger(
    name: str = TRIGGER,
    *,
    path: str = "sales/{region}/{file}.csv",
    container: str = "landing",
    filters: dict[str, dict[str, str]] | None = None,
    policies: dict[str, Any] | None = None,
    **action: Any,
) -> TriggerDefinition:
    """A trigger that binds the upload to the input `data`, unless its action says otherwise.

    Nothing bounds its runs unless policies are given.
    """
    return TriggerDefinition.model_validate(
        {
            "name": name,
            "spec": {
                "blob": {"account": "contosolake", "container": container, "path": path},
                "filter": filters or {},
            },
            "action": {
                "pipeline": PIPELINE,
                "inputs": {"data": "${{ event.data.url }}"},
                **action,
            },
            "policies": UNBOUNDED if policies is None else policies,
        }
    )


def pipeline(name: str = PIPELINE, **changes: Any) -> PublishedPipeline:
    """A published pipeline with one data input, `data`."""
    return PublishedPipeline.model_validate(
        {
            "name": name,
            "version": "v1",
            "component_id": f"/components/{name}/versions/v1",
            "inputs": {"data": {"type": "uri_file"}},
            "outputs": {},
            "settings": {"default_compute": "azureml:cpu-cluster"},
            "tags": {},
            **changes,
        }
    )


def indexed(*triggers: TriggerDefinition) -> dict[str, IndexedTrigger]:
    """Triggers as the index has them, effective from the beginning."""
    return {
        given.name: IndexedTrigger(definition=given, revision="r1", effective_from=World().now)
        for given in triggers
    }


#: So that a run needs no place.
UNBOUNDED = {"concurrency": {"limit": "unlimited"}, "max_runs_per_day": "unlimited"}


class Killed(BaseException):
    """The end of a process; no code of ours may catch it."""


class Scene:
    """A deployment whose surroundings a test holds in its hand."""

    def __init__(
        self,
        *,
        world: World | None = None,
        workspace: MemoryWorkspace | None = None,
        outcomes: Outcomes | None = None,
    ) -> None:
        self.outcomes = outcomes
        self.world = world or World()
        self.blobs = MemoryBlobs(self.world)
        self.targets = MemoryTargets(self.world)
        self.workspace = workspace or MemoryWorkspace(self.world)
        self.workspace.world = self.world
        self.lakes = MemoryLakes(self.world)
        self.ids = Random(7)
        #: What the process' own stopwatch shows, in seconds.
        self.stopwatch = 0.0
        self.variables = {"stage": "dev"}
        self._put_together(self.blobs)

    def _put_together(self, blobs: BlobState) -> None:
        self.index = Index(blobs)
        self.ledger = Ledger(blobs)
        self.history = History(blobs)
        self.computes = Computes(blobs, self.targets)
        self.slots = Slots(blobs)
        self.turns = Turns(index=self.index, ledger=self.ledger, slots=self.slots)
        self.submission = Submission(
            deployment=DEPLOYMENT,
            ledger=self.ledger,
            workspace=self.workspace,
            history=self.history,
            computes=self.computes,
            turns=self.turns,
            chain=lambda event: self.dispatcher.handle(event),
            outcomes=self.outcomes,
        )
        self.published = Published(blobs)
        self.orders = Orders(
            deployment=DEPLOYMENT, variables=self.variables, published=self.published
        )
        self.inbox = Inbox(blobs)
        manifests = Manifests(deployment=DEPLOYMENT, lakes=self.lakes, workspace=self.workspace)
        self.batches = Batches(
            deployment=DEPLOYMENT,
            index=self.index,
            orders=self.orders,
            ledger=self.ledger,
            inbox=self.inbox,
            slots=self.slots,
            manifests=manifests,
            begin=lambda order, binding, snapshot: self.dispatcher.begin(order, binding, snapshot),
            submit=self.submission.submit,
            new_id=lambda: f"{self.ids.getrandbits(64):016x}",
            side_by_side=in_turn,
            monotonic=lambda: self.world.now.timestamp(),
        )
        self.dispatcher = Dispatcher(
            deployment=DEPLOYMENT,
            variables=self.variables,
            index=self.index,
            orders=self.orders,
            ledger=self.ledger,
            history=self.history,
            computes=self.computes,
            submission=self.submission,
            turns=self.turns,
            batches=self.batches,
            new_blobs=NewBlobs(
                blobs=blobs,
                ledger=self.ledger,
                lakes=self.lakes,
                manifests=manifests,
                monotonic=lambda: self.stopwatch,
            ),
            monotonic=lambda: self.stopwatch,
        )
        self.schedules = Schedules(
            index=self.index,
            clocks=Clocks(blobs),
            orders=self.orders,
            dispatcher=self.dispatcher,
        )
        self.drops = Drops(
            blobs,
            MemoryBlobs(self.world),
            Publishing(self.published, self.index, cast(Any, None), listens=()),
            self.index,
            monotonic=lambda: self.stopwatch,
        )
        self.heartbeat = Heartbeat(blobs)
        self.tick = Tick(
            index=self.index,
            ledger=self.ledger,
            slots=self.slots,
            computes=self.computes,
            submission=self.submission,
            dispatcher=self.dispatcher,
            heartbeat=self.heartbeat,
            monotonic=lambda: self.stopwatch,
            shuffle=Random(1).shuffle,
            others={
                "the schedules": (schedules.BUDGET, self.schedules.run_due),
                "the batches": (batches.BUDGET, self.batches.seal_due),
            },
        )

    def process(self) -> Self:
        """Another process of the same deployment, with threads of its own."""
        other = copy(self)
        other._put_together(self.blobs)
        return other

    def publish(self, *triggers: TriggerDefinition, pipelines: Any = None) -> None:
        """What publishing leaves in the index; the triggers are effective from the beginning."""

        def change(before: Snapshot, _at: datetime) -> Snapshot:
            return before.model_copy(
                update={
                    "triggers": indexed(*triggers),
                    "pipelines": {
                        given.name: given.model_dump(mode="json", by_alias=True)
                        for given in (pipelines if pipelines is not None else [pipeline()])
                    },
                }
            )

        self.index.change(change)
        self.index.read()
        self.world.calls.clear()
        self.world.pass_time(120)

    def calls(self) -> list[str]:
        """The calls made since the last question, without the names of what they were for."""
        made = [call.split("/")[0] for call in self.world.calls]
        self.world.calls.clear()
        return [call.split(" ")[0] if call.startswith(("PUT", "GET")) else call for call in made]

    def kept(self, name: str = TRIGGER) -> Kept:
        """The trigger's only record."""
        [blob] = [blob for blob in self.blobs.stored if blob.startswith(f"ledger/{name}/")]
        key = blob.removeprefix(f"ledger/{name}/").removesuffix(".json")
        # A test that looks is no call of the product.
        world, self.blobs.world = self.blobs.world, World(now=self.world.now)
        try:
            found = self.ledger.read(name, key)
        finally:
            self.blobs.world = world
        assert found is not None
        return found

    def record(self, name: str = TRIGGER) -> Record:
        """The trigger's only record."""
        return self.kept(name).record

    def markers(self) -> list[Marker]:
        return list(self.ledger.open())

    def decisions(self) -> list[dict[str, Any]]:
        """What history holds, in the order a listing gives."""
        return [
            json.loads(blob.data)
            for name, blob in sorted(self.blobs.stored.items())
            if name.startswith("history/")
        ]


def interject(world: World, call: str, action: Callable[[], object]) -> None:
    """Do something once, right before the next call that begins so takes effect."""

    def once(made: str) -> None:
        if made.startswith(call):
            world.before = lambda _call: None
            action()

    world.before = once


def fail(
    world: World, call: str, error: BaseException, *, times: int = 1, applied: bool = False
) -> None:
    """Let the next calls that begin so fail, before they take effect or (`applied`) after."""
    left = times

    def raise_it(made: str) -> None:
        nonlocal left
        if left and made.startswith(call):
            left -= 1
            raise error

    if applied:
        world.after = raise_it
    else:
        world.before = raise_it


def request(id: str = "key-1", name: str = PIPELINE, **content: Any) -> Event:
    """What a client asks for by name; without inputs, it binds `data`."""
    content.setdefault("inputs", {"data": "https://x.blob.core.windows.net/c/a.csv"})
    return envelopes.request(
        content,
        id=id,
        source="/http/key",
        type="signalbox.run.requested",
        via=f"manual/{name}",
        now=World().now,
    )
