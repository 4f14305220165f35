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
    "F3 absent is gone": 22,
    "F6a refused is final": 48,
    "F6b answer written blindly": 21,
    "F7 no record, nobody waits": 16,
    "cancel is final": 10,
    "dismissed stays so": 12,
    "ends of runs by chance": 19,
    "exists is an error": 198,
    "failed PUT is forgotten": 42,
    "finished before it was explained": 21,
    "held without record is rubbish": 15,
    "marker closed before the chain": 35,
    "number is not compared": 13,
    "outcomes are not awaited": 47,
    "pause is not seen": 96,
    "place is not touched": 38,
    "silence is a refusal": 53,
    "skipped in the end": 14,
    "stamped as listed": 22,
    "stopped before it is written": 15,
    "told before it was sent": 128,
}
