"""Open files: the limit of this process."""

import resource
from typing import Final

_MAX_FILES: Final = 65_536


def raise_open_file_limit() -> int:
    """Raise the number of open files to what the system allows; gives that number.

    Each connection is one. Many systems start a process with 1024, and allow far more.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_FILES)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return _MAX_FILES if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most
