"""What must hold of replays when a history has come to rest."""

from collections import Counter

from shared.ledger import Record, run_key
from shared.replay_states import Replay
from tests.simulation import invariants
from tests.simulation.replaying import Replaying
from tests.simulation.scenario import DEPLOYMENT


def violations(simulation: Replaying) -> list[str]:
    """Every promise that this history broke."""
    records = invariants.records_of(simulation)
    replays = simulation.replays
    # What waits for its turn ends with the replay.
    simulation.canceled |= {
        (record.trigger, record.key) for record in records if record.replay in simulation.given_up
    }
    found = invariants.violations(simulation)
    for replay in replays.values():
        mine = [record for record in records if record.replay == replay.id]
        found += _replay(replay, simulation, mine, records)
        if replay.cancel_requested and replay.id not in simulation.given_up:
            found.append(f"replay {replay.id} was canceled by nobody")
    of_none = {record.replay for record in records if record.replay} - replays.keys()
    return found + [f"runs of replay {id}, which is none" for id in of_none]


def _replay(
    replay: Replay, simulation: Replaying, mine: list[Record], records: list[Record]
) -> list[str]:
    """Each run that was chosen is run once more, once, and counted as it ended."""
    found = []
    if not replay.over:
        found.append(f"replay {replay.id} in limbo: {replay}")
    if not replay.cancel_requested and replay.position != replay.total:
        found.append(f"replay {replay.id} came to {replay.position} of {replay.total}")
    chosen = simulation.chosen(replay)
    refused = {one.run for one in replay.problems if one.run}
    if more := [record.run_id for record in mine if record.replay_of not in chosen]:
        found.append(f"replay {replay.id} ran {more}, which nobody chose")
    keys = {
        record.run_id: run_key(DEPLOYMENT, record.event, replay=replay.id) for record in records
    }
    made = {record.key for record in mine}
    come_to = chosen[: replay.position]
    if missing := [run for run in come_to if run not in refused and keys[run] not in made]:
        found.append(f"replay {replay.id} did not run {missing}")
    # Whoever began others that were said not to be over may have died.
    unheard = refused if simulation.crashes else set()
    counted = [record for record in mine if record.replay_of not in unheard]
    ended = Counter(record.state for record in counted)
    if Counter(replay.ended) != ended or replay.active or len(refused) != replay.not_started:
        found.append(f"replay {replay.id} counts {replay.ended}, its runs are {ended}")
    return found
