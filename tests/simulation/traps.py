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
