"""Allocation: what the process does with memory that is freed or never will be, and with files."""

import ctypes
import gc
import platform
import resource
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
"""Numbers of glibc's options, from its malloc.h."""

_MAX_FILES: Final = 65_536

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


def allow_many_files() -> int:
    """Raise the number of open files to what the system allows; gives that number.

    Each connection is one. Many systems start a process with 1024, and allow far more.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_FILES)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return _MAX_FILES if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def keep_what_is_there() -> None:
    """Look no more for garbage among the objects that are there now.

    The libraries and the backbone have a million of them: to look through them again and again
    takes half a second each time.
    """
    gc.collect()
    gc.freeze()
