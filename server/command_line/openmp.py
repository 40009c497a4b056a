"""OpenMP: the threads of a forward pass do not spin for long while they wait for each other."""

import os
from collections.abc import MutableMapping
from typing import Final

_SPIN_COUNT: Final = 10_000
"""A thirtieth of the default, which spins for milliseconds.

If another program uses one of the processors, a spinning thread can keep the thread that it waits
for from running. On two cores with one busy, a pass of one text took 97 to 250 ms on two threads,
and 26 ms on one.
"""

_CHOICES: Final = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def limit_spinning(environment: MutableMapping[str, str] = os.environ) -> None:
    """Limit the spin count of GNU OpenMP, unless the environment sets one.

    The library reads the variable once when it is loaded, so this must precede the import of torch.
    Processes that this one starts inherit it.
    """
    if not any(name in environment for name in _CHOICES):
        environment["GOMP_SPINCOUNT"] = str(_SPIN_COUNT)
