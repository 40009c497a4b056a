"""The number of processor cores that this process may use."""

import math
import os

from prefixes.cgroups import cpu_quota


def num_usable_cores() -> int:
    """Count the cores that this process may use, or all cores where the system does not say.

    A CPU quota counts as the cores whose time it allows, rounded up.
    """
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    cores = len(os.sched_getaffinity(0))  # Linux: taskset and containers limit a process
    return math.ceil(min(cpu_quota(), cores))
