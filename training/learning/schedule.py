"""Learning rate schedules. They depend on the step alone, so checkpoints need no state of them."""

import math
from typing import assert_never

from training.settings.train_settings import ScheduleName

_DECAY = 0.95
"""Factor of the exponential schedule after each twentieth of the training.

P-tuning v2 decays by 0.95 per epoch for tagging and question answering (`exponential_per_epoch`).
With twentieths, the curve does not depend on the number of epochs.
"""


def learning_rate_factor(
    schedule: ScheduleName, step: int, total: int, *, warmup: float, steps_per_epoch: int = 1
) -> float:
    """Return the factor of the peak learning rate at a step of `total`, counted from 0.

    The factor rises linearly during the first `warmup` share of the steps and then follows
    `schedule`. Only `exponential_per_epoch` uses `steps_per_epoch`.
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
            return float(_DECAY ** (20 * progress))
        case "exponential_per_epoch":
            return float(_DECAY ** ((step - rising) // steps_per_epoch))
        case _:
            assert_never(schedule)
