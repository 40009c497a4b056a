"""Reads all of a Parquet file in a process of its own, before the server reads it.

The sizes in a file may be wrong, and one byte may make a page of gigabytes. Its reader is a library
in C++, which ends the process on some errors. Neither may happen to the process of the engine.
"""

import logging
import os
import resource
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from server.batch_files.errors import UnreadableFile

_COMMAND: Final = (sys.executable, "-P", "-m", "server.batch_files.parquet_check")
_MAX_MEMORY_BYTES: Final = 4 * 2**30
_MAX_CPU_SECONDS: Final = 120
_MAX_SECONDS: Final = 600
_MAX_LOGGED: Final = 2000
_UNREADABLE: Final = 3
_OUT_OF_MEMORY: Final = 4

_log = logging.getLogger(__name__)


def check_parquet(path: Path, *, max_memory_bytes: int = _MAX_MEMORY_BYTES) -> None:
    """Check that the server can read a file in bounded memory.

    Raises:
        UnreadableFile: when it cannot.
    """
    command = (*_COMMAND, str(path), str(max_memory_bytes))
    with suppress(subprocess.TimeoutExpired):
        found = subprocess.run(  # noqa: S603 - the path is one of the server's
            command, capture_output=True, check=False, timeout=_MAX_SECONDS, env=_environment()
        )
        if found.returncode == 0:
            return
        if found.returncode == _UNREADABLE:
            raise UnreadableFile(found.stdout.decode(errors="replace"))
        end = found.stderr[-_MAX_LOGGED:].decode(errors="replace")
        _log.warning("a check of Parquet ended with exit code %d: %s", found.returncode, end)
    raise UnreadableFile(
        "The Parquet file cannot be read: it is damaged, or needs more than "
        f"{max_memory_bytes // 2**30} GiB of memory or {_MAX_CPU_SECONDS} seconds. Write it again "
        "with smaller row groups."
    )


def _environment() -> dict[str, str]:
    """Return an environment in which threads that are not needed reserve no memory."""
    return {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }


def main(path: Path, max_memory_bytes: int) -> int:
    """Read a file. Write what is wrong with it to the standard output."""
    os.nice(5)
    with suppress(ValueError, OSError):  # the system has no such limit, or a lower one
        resource.setrlimit(resource.RLIMIT_AS, (max_memory_bytes, max_memory_bytes))
        resource.setrlimit(resource.RLIMIT_CPU, (_MAX_CPU_SECONDS, _MAX_CPU_SECONDS))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from server.batch_files.parquet import ParquetRows  # noqa: PLC0415 - within the limits

    try:
        ParquetRows.open(path, 0).check()
    except UnreadableFile as error:
        if isinstance(error.__cause__, MemoryError):
            return _OUT_OF_MEMORY
        sys.stdout.buffer.write(str(error).encode(errors="replace"))
        return _UNREADABLE
    except MemoryError:
        return _OUT_OF_MEMORY
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
