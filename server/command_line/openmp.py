"""OpenMP: the threads of a forward pass do not spin for long while they wait for each other."""

import os
from collections.abc import MutableMapping
from typing import Final

_SPIN_COUNT: Final = 1000
"""A few microseconds, in place of milliseconds (300,000).

If another program uses one of the processors, a spinning thread keeps the thread that it waits for
from running: on two cores with one busy, a pass of one text took ten times as long as on one core.
With this count it takes about as long as on one core, and on idle cores no longer than before.
"""

_CHOICES: Final = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def limit_spinning(environment: MutableMapping[str, str] = os.environ) -> None:
    """Limit the spin count of GNU OpenMP, unless the environment sets one.

    The library reads the variable once when it is loaded, so this must precede the import of torch.
    Processes that this one starts inherit it.
    """
    if not any(name in environment for name in _CHOICES):
        environment["GOMP_SPINCOUNT"] = str(_SPIN_COUNT)
