"""Every study by name."""

from __future__ import annotations

from .closed_form import CLOSED_FORM
from .demonstrations import DEMONSTRATIONS
from .kl_frontier import KL_FRONTIER
from .mixed_demonstrations import MIXED_DEMONSTRATIONS
from .over_optimisation import OVER_OPTIMISATION
from .reward_shift import REWARD_SHIFT
from .study import Study

STUDIES: dict[str, Study] = {
    "over-optimisation": OVER_OPTIMISATION,
    "kl-frontier": KL_FRONTIER,
    "closed-form": CLOSED_FORM,
    "mixed-demonstrations": MIXED_DEMONSTRATIONS,
    "demonstrations": DEMONSTRATIONS,
    "reward-shift": REWARD_SHIFT,
}
