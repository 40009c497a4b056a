"""The number of processor cores that this process may use."""

import os


def num_usable_cores() -> int:
    """Count the cores that this process may use, or all cores where the system does not say."""
    if hasattr(os, "sched_getaffinity"):  # Linux: containers and taskset limit a process
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
