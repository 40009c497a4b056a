"""Open files: their limit in this process."""

import resource
from typing import Final

_MAX_FILES: Final = 65_536


def raise_open_file_limit() -> int:
    """Raise the limit of open files to what the system allows, and return it.

    Each connection is an open file. Many systems start a process with a limit of 1024, and allow a
    far higher one.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_FILES)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return _MAX_FILES if soft == resource.RLIM_INFINITY else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (OSError, ValueError):  # macOS has a lower limit, which it does not report here
        return soft
    return most
