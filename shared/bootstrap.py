"""Puts the app together, once per process, on first use."""

import logging
import os
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from uuid import uuid4

from azure.core.credentials import TokenCredential
from azure.identity import DefaultAzureCredential

from shared import settings, telemetry
from shared.backfills import Backfills
from shared.batches import BUDGET as BATCHES_BUDGET
from shared.batches import Batches
from shared.blob_state import AzureBlobState
from shared.broker import Broker
from shared.clocks import Clocks
from shared.compute import Computes
from shared.dispatcher import Dispatcher, in_turn
from shared.drops import BUDGET as DROPS_BUDGET
from shared.drops import Drops
from shared.events import QUEUE, TOPIC
from shared.explain import Explain
from shared.heartbeat import Heartbeat
from shared.history import History
from shared.inbox import Inbox
from shared.index import Index
from shared.job_schedules import AzureJobSchedules
from shared.lakes import AzureLakes, Lakes
from shared.ledger import Ledger
from shared.manifests import Manifests
from shared.members import Members
from shared.native_orders import NativeOrders
from shared.native_schedules import BUDGET as NATIVE_BUDGET
from shared.native_schedules import NativeSchedules
from shared.native_states import NativeStates
from shared.new_blobs import NewBlobs
from shared.occurrences import Occurrences
from shared.orders import Orders
from shared.outcomes import Outcomes, ServiceBusOutcomes
from shared.outlooks import Outlooks
from shared.pauses import Pauses
from shared.previews import Previews
from shared.published import Published
from shared.publishing import Publishing
from shared.replay_states import ReplayStates
from shared.replays import BUDGET as REPLAYS_BUDGET
from shared.replays import Replays
from shared.runs import Runs
from shared.schedules import BUDGET as SCHEDULES_BUDGET
from shared.schedules import Schedules
from shared.searches import Searches
from shared.selections import Selections
from shared.settings import Settings
from shared.slots import Slots
from shared.submission import Submission
from shared.sweep_states import SweepStates
from shared.sweeps import BUDGET as SWEEPS_BUDGET
from shared.sweeps import Sweeps
from shared.targets import AzureTargets
from shared.tick import Tick
from shared.turns import Turns
from shared.workspace import AzureWorkspace


@dataclass(frozen=True)
class App:
    """The rooms that entry points call."""

    settings: Settings
    dispatcher: Dispatcher
    submission: Submission
    tick: Tick
    publishing: Publishing
    drops: Drops
    index: Index
    pauses: Pauses
    ledger: Ledger
    published: Published
    computes: Computes
    workspace: AzureWorkspace
    lakes: Lakes
    runs: Runs
    members: Members
    explain: Explain
    previews: Previews
    sweeps: Sweeps
    replays: Replays
    outlooks: Outlooks
    occurrences: Occurrences
    native: NativeSchedules
    backfills: Backfills
    broker: Broker
    heartbeat: Heartbeat


def build(environment: Mapping[str, str]) -> App:
    """The app for an environment's settings. Talks to nobody yet.

    Raises SettingsInvalid.
    """
    # The SDKs would log every request they make, headers and all.
    logging.getLogger("azure").setLevel(logging.WARNING)
    # What could not sign in is told once, by the error that it leads to.
    logging.getLogger("azure.identity").setLevel(logging.ERROR)
    # Each class that Microsoft calls experimental would log a line of its own.
    logging.getLogger("azure.ai.ml._utils._experimental").setLevel(logging.ERROR)
    found = settings.load(environment)
    # One credential for everything: it keeps its tokens and is safe between threads.
    credential = DefaultAzureCredential()
    blobs = AzureBlobState(found.state_account_url, found.state_container, credential)
    workspace = AzureWorkspace(
        found.subscription, found.resource_group, found.workspace, credential
    )
    index, ledger, history = Index(blobs), Ledger(blobs), History(blobs)
    published = Published(blobs)
    computes = Computes(blobs, AzureTargets(workspace.client))
    slots, inbox = Slots(blobs), Inbox(blobs)
    turns = Turns(index=index, ledger=ledger, slots=slots)
    submission = Submission(
        deployment=found.deployment,
        ledger=ledger,
        workspace=workspace,
        history=history,
        computes=computes,
        turns=turns,
        # The end of a run is an event like any other.
        chain=lambda event: dispatcher.handle(event),
        outcomes=_outcomes(found, credential),
    )
    orders = Orders(
        deployment=found.deployment,
        variables=found.variables,
        published=published,
        datastores=found.datastores,
    )
    lakes = AzureLakes(credential)
    manifests = Manifests(deployment=found.deployment, lakes=lakes, workspace=workspace)
    batches = Batches(
        deployment=found.deployment,
        index=index,
        orders=orders,
        ledger=ledger,
        inbox=inbox,
        slots=slots,
        manifests=manifests,
        begin=lambda order, binding, snapshot: dispatcher.begin(order, binding, snapshot),
        submit=submission.submit,
        new_id=lambda: uuid4().hex,
        side_by_side=_side_by_side,
        monotonic=time.monotonic,
    )
    dispatcher = Dispatcher(
        deployment=found.deployment,
        variables=found.variables,
        index=index,
        orders=orders,
        ledger=ledger,
        history=history,
        computes=computes,
        submission=submission,
        turns=turns,
        batches=batches,
        new_blobs=NewBlobs(
            blobs=blobs, ledger=ledger, lakes=lakes, manifests=manifests, monotonic=time.monotonic
        ),
        monotonic=time.monotonic,
        side_by_side=_side_by_side,
    )
    native = NativeSchedules(
        deployment=found.deployment,
        index=index,
        states=NativeStates(blobs),
        orders=NativeOrders(
            deployment=found.deployment,
            variables=found.variables,
            published=published,
            labels=workspace,
            datastores=found.datastores,
        ),
        schedules=AzureJobSchedules(workspace.client),
        jobs=workspace,
    )
    publishing = Publishing(
        published,
        index,
        workspace,
        listens=(
            f"{QUEUE}{found.events_queue}",
            f"{TOPIC}{found.events_topic}/{found.events_subscription}",
        ),
        computes=computes,
        native=native,
        datastores=found.datastores,
    )
    container = found.definitions_container
    drops = Drops(
        blobs,
        AzureBlobState(found.state_account_url, container, credential) if container else None,
        publishing,
        index,
        monotonic=time.monotonic,
    )
    previews = Previews(
        index=index, orders=orders, ledger=ledger, lakes=lakes, variables=found.variables
    )
    sweep_states = SweepStates(blobs)
    sweeps = Sweeps(
        states=sweep_states,
        index=index,
        searches=Searches(
            orders=orders,
            ledger=ledger,
            lakes=lakes,
            dispatcher=dispatcher,
            variables=found.variables,
            side_by_side=_side_by_side,
        ),
        monotonic=time.monotonic,
    )
    occurrences = Occurrences(index=index, orders=orders, dispatcher=dispatcher)
    selections = Selections(index=index, ledger=ledger, history=history)
    replays = Replays(
        deployment=found.deployment,
        states=ReplayStates(blobs),
        selections=selections,
        occurrences=occurrences,
        index=index,
        ledger=ledger,
        dispatcher=dispatcher,
        submission=submission,
        monotonic=time.monotonic,
        side_by_side=_side_by_side,
    )
    clocks = Clocks(blobs)
    schedules = Schedules(
        index=index,
        clocks=clocks,
        orders=orders,
        dispatcher=dispatcher,
        side_by_side=_side_by_side,
    )
    heartbeat = Heartbeat(blobs)
    tick = Tick(
        index=index,
        ledger=ledger,
        slots=slots,
        computes=computes,
        submission=submission,
        dispatcher=dispatcher,
        heartbeat=heartbeat,
        monotonic=time.monotonic,
        shuffle=random.shuffle,
        others={
            "the schedules": (SCHEDULES_BUDGET, schedules.run_due),
            "the batches": (BATCHES_BUDGET, batches.seal_due),
            "the sweeps": (SWEEPS_BUDGET, sweeps.run_due),
            "the replays": (REPLAYS_BUDGET, replays.run_due),
            "the native schedules": (NATIVE_BUDGET, native.run_due),
            # Last, so that no definition keeps a run from being looked at.
            "the definitions put there by hand": (DROPS_BUDGET, lambda _over: drops.look()),
        },
    )
    members = Members(ledger=ledger, history=history, inbox=inbox)
    runs = Runs(ledger=ledger, history=history, workspace=workspace, index=index)
    return App(
        settings=found,
        dispatcher=dispatcher,
        submission=submission,
        tick=tick,
        publishing=publishing,
        drops=drops,
        index=index,
        pauses=Pauses(index, native.follow),
        ledger=ledger,
        published=published,
        computes=computes,
        workspace=workspace,
        lakes=lakes,
        runs=runs,
        members=members,
        explain=Explain(
            index=index,
            orders=orders,
            ledger=ledger,
            history=history,
            runs=runs,
            members=members,
            lakes=lakes,
            sweeps=sweep_states,
            clocks=clocks,
            variables=found.variables,
            drops=drops,
        ),
        previews=previews,
        sweeps=sweeps,
        replays=replays,
        outlooks=Outlooks(
            selections=selections,
            dispatcher=dispatcher,
            previews=previews,
            side_by_side=_side_by_side,
        ),
        occurrences=occurrences,
        native=native,
        backfills=Backfills(
            occurrences=occurrences,
            orders=orders,
            ledger=ledger,
            previews=previews,
            replays=replays,
            side_by_side=_side_by_side,
        ),
        broker=Broker(found, credential),
        heartbeat=heartbeat,
    )


def _outcomes(found: Settings, credential: TokenCredential) -> Outcomes | None:
    if found.outcomes_topic is None:
        return None
    return ServiceBusOutcomes(
        found.outcomes_topic,
        connection=found.service_bus_connection,
        namespace=found.service_bus_namespace,
        credential=credential,
        monotonic=time.monotonic,
    )


def _side_by_side(calls: Sequence[Callable[[], None]]) -> None:
    if len(calls) < 2:
        in_turn(calls)
        return
    # As many connections as the SDK keeps; each more would be a new one every time.
    with ThreadPoolExecutor(max_workers=min(len(calls), 10)) as pool:
        list(pool.map(lambda call: call(), map(telemetry.carried, calls)))


def app() -> App:
    """The one app of this process."""
    with _lock:
        return _app()


_lock = threading.Lock()


@cache
def _app() -> App:
    return build(os.environ)
