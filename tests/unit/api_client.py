"""The HTTP API in this process, over the in-memory ports: a client and what it stands on."""

import asyncio
import itertools
from collections.abc import Mapping
from typing import Any, cast

import httpx
from fastapi import FastAPI

from shared.api.application import create_app
from shared.backfills import Backfills
from shared.bootstrap import App
from shared.broker import Broker
from shared.clocks import Clocks
from shared.definitions import TriggerDefinition
from shared.errors import NotFound
from shared.explain import Explain
from shared.lakes import Lakes, Upload, UploadPage
from shared.members import Members
from shared.native_orders import NativeOrders
from shared.native_schedules import NativeSchedules
from shared.native_states import NativeStates
from shared.occurrences import Occurrences
from shared.outlooks import Outlooks
from shared.pauses import Pauses
from shared.previews import Previews
from shared.replay_states import ReplayStates
from shared.replays import Replays
from shared.runs import Runs
from shared.searches import Searches
from shared.selections import Selections
from shared.settings import Settings, load
from shared.sweep_states import SweepStates
from shared.sweeps import Sweeps
from tests.fakes import MemoryJobSchedules, World
from tests.unit.scene import DEPLOYMENT, PIPELINE, Scene, pipeline, trigger
from tests.unit.test_bootstrap import ENVIRONMENT


class MemoryLakes:
    """Storage accounts of which one container is there, with these uploads."""

    def __init__(self) -> None:
        self.uploads: list[Upload] = []

    def find(self, account: str, container: str, path: str) -> Upload | None:
        return next((each for each in self.list(account, container, path, 1_000)), None)

    def list(self, account: str, container: str, prefix: str, limit: int) -> list[Upload]:
        if (account, container) != ("contosolake", "landing"):
            raise NotFound(f"Storage account {account} has no container {container!r}.")
        return [each for each in self.uploads if each.path.startswith(prefix)][:limit]

    def page(self, account: str, container: str, prefix: str, marker: str | None) -> UploadPage:
        assert marker is None
        return UploadPage(
            uploads=self.list(account, container, prefix, 1_000), marker=None, at=World().now
        )


class Api:
    """Sends requests to the API, and shows what came of them."""

    def __init__(self, scene: Scene | None = None, **settings: str) -> None:
        self.scene = scene or Scene()
        self.lakes = MemoryLakes()
        self.job_schedules = MemoryJobSchedules(self.scene.world)
        found = load({**ENVIRONMENT, **settings})
        self.app = _app(self.scene, self.lakes, self.job_schedules, found)
        self._ids = map("made-{}".format, itertools.count())
        self.asgi: FastAPI = create_app(
            lambda: self.app, new_id=lambda: next(self._ids), now=lambda: self.scene.world.now
        )

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request; `path` is below /api."""

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.asgi)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, f"/api{path}", **options)

        return asyncio.run(send())

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, json: Any = None, **options: Any) -> httpx.Response:
        return self.request("POST", path, json=json, **options)


def everything() -> Scene:
    """A deployment with a trigger of each source and a pipeline for them."""
    scene = Scene()
    scene.publish(
        trigger(),
        of("on-message", {"service_bus": {"queue": "orders"}}, "${{ event.data.file }}"),
        of("on-call", {"http": {}}, "${{ event.data.file }}"),
        of("on-event", {"event": {"type": "shop.order"}}, "${{ event.data.file }}"),
        of("on-end", {"run": {"trigger": "on-call"}}, "azureml:a:1"),
        pipelines=[pipeline(), pipeline("scoring")],
    )
    return scene


def of(
    name: str, spec: Mapping[str, Any], data: str = "azureml:a:1", **action: Any
) -> TriggerDefinition:
    """A trigger of any source that binds the input `data`."""
    return TriggerDefinition.model_validate(
        {
            "name": name,
            "spec": spec,
            "action": {"pipeline": PIPELINE, "inputs": {"data": data}, **action},
        }
    )


def _app(
    scene: Scene, lakes: MemoryLakes, job_schedules: MemoryJobSchedules, settings: Settings
) -> App:
    """The rooms that the API calls; the others are not there."""
    common: dict[str, Any] = {
        "index": scene.index,
        "orders": scene.orders,
        "ledger": scene.ledger,
        "lakes": cast(Lakes, lakes),
        "variables": scene.variables,
    }
    runs = Runs(
        ledger=scene.ledger, history=scene.history, workspace=scene.workspace, index=scene.index
    )
    members = Members(ledger=scene.ledger, history=scene.history, inbox=scene.inbox)
    previews = Previews(**common)
    sweep_states = SweepStates(scene.blobs)
    occurrences = Occurrences(index=scene.index, orders=scene.orders, dispatcher=scene.dispatcher)
    selections = Selections(index=scene.index, ledger=scene.ledger, history=scene.history)
    replays = Replays(
        deployment=DEPLOYMENT,
        states=ReplayStates(scene.blobs),
        selections=selections,
        occurrences=occurrences,
        index=scene.index,
        ledger=scene.ledger,
        dispatcher=scene.dispatcher,
        submission=scene.submission,
        monotonic=lambda: scene.stopwatch,
    )
    native = NativeSchedules(
        deployment=DEPLOYMENT,
        index=scene.index,
        states=NativeStates(scene.blobs),
        orders=NativeOrders(
            deployment=DEPLOYMENT,
            variables=scene.variables,
            published=scene.published,
            labels=scene.workspace,
        ),
        schedules=job_schedules,
        jobs=scene.workspace,
    )
    nobody: Any = None
    broker = Broker(settings, nobody)
    return App(
        settings=settings,
        dispatcher=scene.dispatcher,
        submission=scene.submission,
        tick=scene.tick,
        publishing=nobody,
        drops=scene.drops,
        index=scene.index,
        pauses=Pauses(scene.index, native.follow),
        ledger=scene.ledger,
        published=scene.published,
        computes=scene.computes,
        workspace=cast(Any, scene.workspace),
        lakes=cast(Lakes, lakes),
        runs=runs,
        members=members,
        explain=Explain(
            history=scene.history,
            runs=runs,
            drops=scene.drops,
            members=members,
            sweeps=sweep_states,
            clocks=Clocks(scene.blobs),
            **common,
        ),
        previews=previews,
        sweeps=Sweeps(
            states=sweep_states,
            index=scene.index,
            searches=Searches(
                orders=scene.orders,
                ledger=scene.ledger,
                lakes=cast(Lakes, lakes),
                dispatcher=scene.dispatcher,
                variables=scene.variables,
            ),
            monotonic=lambda: scene.stopwatch,
        ),
        replays=replays,
        outlooks=Outlooks(selections=selections, dispatcher=scene.dispatcher, previews=previews),
        native=native,
        occurrences=occurrences,
        backfills=Backfills(
            occurrences=occurrences,
            orders=scene.orders,
            ledger=scene.ledger,
            previews=previews,
            replays=replays,
        ),
        broker=broker,
        heartbeat=scene.heartbeat,
    )
