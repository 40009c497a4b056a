"""The learning rate's course: a plain function of the step, so there is no state to keep."""

import math

from training.settings.config import ScheduleName

_DECAY_PER_PASS = 0.95
"""The exponential schedule multiplies by this after each twentieth of the training.

P-tuning v2 decays by 0.95 an epoch for its tagging and question answering tasks
(`exponential_per_epoch`, in steps); counted in twentieths the curve does not depend on how often
the rows are seen.
"""


def learning_rate_factor(
    schedule: ScheduleName, step: int, total: int, *, warmup: float, steps_per_epoch: int = 1
) -> float:
    """Give the factor of the peak learning rate for a step of `total`, counted from 0.

    The first `warmup` share of the steps rises linearly; the rest follows `schedule`, of which only
    `exponential_per_epoch` asks for `steps_per_epoch`.
    """
    rising = math.ceil(total * warmup)
    if step < rising:
        return (step + 1) / rising
    progress = (step - rising) / max(1, total - rising)
    match schedule:
        case "constant":
            return 1.0
        case "linear":
            return 1.0 - progress
        case "cosine":
            return (1.0 + math.cos(math.pi * progress)) / 2
        case "exponential":
            return float(_DECAY_PER_PASS ** (20 * progress))
        case "exponential_per_epoch":
            return float(_DECAY_PER_PASS ** ((step - rising) // steps_per_epoch))
