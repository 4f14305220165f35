"""Every rule that is left out, by the name that the documentation gives it."""

from tests.simulation.slot_traps import SLOT_TRAPS
from tests.simulation.submission_traps import SUBMISSION_TRAPS
from tests.simulation.trap import Trap

TRAPS: dict[str, Trap] = SUBMISSION_TRAPS | SLOT_TRAPS
