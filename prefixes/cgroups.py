"""The CPU quota of the control groups that this process is in, of version 1 or 2.

A container with a CPU limit sees all processors of its machine. The quota is what limits it.
"""

import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Final

_PROCESS: Final = Path("/proc/self")


def cpu_quota(process: Path = _PROCESS) -> float:
    """Return how many cores' time a process may use; infinity if no group limits it.

    `process` is its folder in `/proc`.
    """
    return min(map(_quota, _groups(process)), default=math.inf)


def _groups(process: Path) -> Iterator[Path]:
    """List the folders of a process's group and of the groups around it, which limit it, too."""
    try:
        paths = _paths((process / "cgroup").read_text())
        mounts = (process / "mountinfo").read_text()
    except OSError:  # not Linux, or hidden
        return
    for line in mounts.splitlines():
        mount, _, source = line.partition(" - ")
        root, point = mount.split()[3:5]
        controller = _controller(source)
        path = PurePosixPath("" if controller is None else paths.get(controller, ""))
        if path.is_relative_to(root):
            inner = Path(point) / path.relative_to(root)
            yield from (inner, *inner.parents[: len(inner.parts) - len(Path(point).parts)])


def _paths(groups: str) -> dict[str, str]:
    """Return the path of the group by its controller, which is empty for version 2."""
    found: dict[str, str] = {}
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        found |= dict.fromkeys(controllers.split(","), path)
    return found


def _controller(source: str) -> str | None:
    """Return the controller of CPU quotas that a file system has; None for all others."""
    kind, _, options = source.split(" ", 2)
    if kind == "cgroup2":
        return ""
    return "cpu" if kind == "cgroup" and "cpu" in options.split(",") else None


def _quota(group: Path) -> float:
    with suppress(OSError):
        return _ratio(*(group / "cpu.max").read_text().split())
    with suppress(OSError):  # version 1
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        return _ratio(*((group / name).read_text() for name in names))
    return math.inf


def _ratio(quota: str, period: str) -> float:
    """Divide a quota by its period. There is no limit if it is `max`, or negative in version 1."""
    with suppress(ValueError):
        if int(quota) > 0:
            return int(quota) / int(period)
    return math.inf
