"""Allocation: what the process does with memory that is freed or never will be, and with files."""

import ctypes
import gc
import platform
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
"""Numbers of glibc's options, from its malloc.h."""

_KEPT: Final = (2**30, 2**25)
"""Bytes up to which it keeps what is freed; glibc before 2.35 takes no more than the second."""


def keep_freed_memory() -> bool:
    """Let glibc keep freed memory for the next batch; says whether it does.

    Left alone, it gives the large tensors of every batch back to the system, which then clears each
    of their pages again for the next: a twentieth of a forward pass and more. What is kept is what
    the largest batch took. Other C libraries are left as they are.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    kept = any(mallopt(_MMAP_THRESHOLD, size) == 1 for size in _KEPT)
    return kept and mallopt(_TRIM_THRESHOLD, _KEPT[0]) == 1


def freeze_live_objects() -> None:
    """Look no more for garbage among the objects that are there now.

    The libraries and the backbone have a million of them: to look through them again and again
    takes half a second each time.
    """
    gc.collect()
    gc.freeze()
