"""Every rule that is left out, by the name that the documentation gives it."""

from tests.simulation.batch_traps import BATCH_TRAPS, HARMLESS_OF_BATCHES
from tests.simulation.replay_traps import REPLAY_TRAPS
from tests.simulation.slot_traps import HARMLESS_OF_SLOTS, SLOT_TRAPS
from tests.simulation.submission_traps import SUBMISSION_TRAPS
from tests.simulation.sweep_traps import SWEEP_TRAPS
from tests.simulation.trap import Trap

TRAPS: dict[str, Trap] = SUBMISSION_TRAPS | SLOT_TRAPS | BATCH_TRAPS | SWEEP_TRAPS | REPLAY_TRAPS

#: What looks like a trap and is none: another rule makes up for it.
HARMLESS: dict[str, Trap] = HARMLESS_OF_SLOTS | HARMLESS_OF_BATCHES

#: Where to begin looking for what few histories show: seeds that were seen to. When a change of the
#: product, or of the weather, makes them show nothing, those behind them do, or another is found.
SEEN: dict[str, int] = {
    "F2 stalled is passed over": 33,
    "F6a refused is final": 23,
    "F6b answer written blindly": 12,
    "F7 no record, nobody waits": 62,
    "cancel is final": 10,
    "ends of runs by chance": 10,
    "exists is an error": 53,
    "failed PUT is forgotten": 17,
    "finished before it was explained": 12,
    "made while one runs": 15,
    "manifest of the number": 19,
    "marker closed before the chain": 16,
    "markers go first": 15,
    "more at once": 18,
    "outcomes are not awaited": 95,
    "pause is not seen": 44,
    "place is not touched": 45,
    "silence is a refusal": 18,
    "stopped before it is written": 10,
    "told before it was sent": 17,
}
