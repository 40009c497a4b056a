"""Memory: freed memory is kept for the next batch, and live objects skip garbage collection."""

import ctypes
import gc
import platform
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
"""Options of `mallopt`, from the `malloc.h` of glibc."""

_KEPT: Final = (2**30, 2**25)
"""Largest freed block, in bytes, to keep. Before 2.35, glibc accepts at most the second."""


def keep_freed_memory() -> bool:
    """Let glibc keep freed memory for the next batch. Returns whether it does.

    By default it returns the large tensors of each batch to the system, which then clears their
    pages for the next batch. That takes a twentieth of a forward pass or more. The memory that is
    kept is that of the largest batch: what loading freed is returned first. Other C libraries are
    not changed.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    libc.malloc_trim(0)
    mallopt = libc.mallopt
    kept = any(mallopt(_MMAP_THRESHOLD, size) == 1 for size in _KEPT)
    return kept and mallopt(_TRIM_THRESHOLD, _KEPT[0]) == 1


def freeze_live_objects() -> None:
    """Exclude all objects that exist now from garbage collection, and enable it again.

    The libraries and the backbone have a million objects. A collection that visits them all takes
    half a second.
    """
    gc.collect()
    gc.freeze()
    gc.enable()  # the command `serve` disables it for the start
