"""CPU quotas of control groups: in files as Linux writes them, and in a real group."""

import math
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from prefixes.cgroups import cpu_quota

_REAL: Final = (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup"))
"""Where version 1 and version 2 are usually mounted."""


class Machine:
    """The files of a machine, and of one process in a group."""

    def __init__(self, folder: Path) -> None:
        self.process = folder / "process"
        self.mount = folder / "cgroup"
        self.process.mkdir()

    def place(self, group: str, source: str, *, root: str = "/") -> None:
        """Put the process into a group of a mounted file system."""
        (self.process / "cgroup").write_text(f"9:memory:/elsewhere\n{group}\n")
        (self.process / "mountinfo").write_text(
            "22 1 0:20 / /proc rw,relatime shared:5 - proc proc rw\n"
            f"30 23 0:26 {root} {self.mount} ro,nosuid shared:9 master:4 - {source}\n"
        )

    def write(self, group: str, **files: str) -> None:
        folder = self.mount / group
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / f"cpu.{name}").write_text(f"{text}\n")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("200000 100000", 2.0), ("150000 100000", 1.5), ("50000 200000", 0.25), ("max 100000", None)],
)
def test_version_2_has_the_quota_and_its_period_in_one_file(
    machine: Machine, text: str, expected: float | None
) -> None:
    machine.place("0::/", "cgroup2 cgroup rw,nsdelegate")
    machine.write("", max=text)
    assert cpu_quota(machine.process) == (expected or math.inf)


@pytest.mark.parametrize(("quota", "expected"), [("200000", 2.0), ("50000", 0.5), ("-1", None)])
def test_version_1_has_them_in_two_files(
    machine: Machine, quota: str, expected: float | None
) -> None:
    machine.place("4:cpu,cpuacct:/", "cgroup cgroup rw,cpu,cpuacct")
    machine.write("", cfs_quota_us=quota, cfs_period_us="100000")
    assert cpu_quota(machine.process) == (expected or math.inf)


def test_the_groups_around_a_group_limit_it_as_well(machine: Machine) -> None:
    machine.place("0::/pods/one/container", "cgroup2 cgroup rw")
    machine.write("pods/one/container", max="400000 100000")
    machine.write("pods/one", max="300000 100000")
    machine.write("pods", max="max 100000")
    assert cpu_quota(machine.process) == 3.0


def test_a_container_sees_its_own_group_where_the_hierarchy_is_mounted(machine: Machine) -> None:
    machine.place("4:cpu,cpuacct:/docker/ab", "cgroup cgroup rw,cpu,cpuacct", root="/docker/ab")
    machine.write("", cfs_quota_us="250000", cfs_period_us="100000")
    assert cpu_quota(machine.process) == 2.5


def test_other_hierarchies_and_missing_files_are_no_limit(machine: Machine) -> None:
    assert cpu_quota(machine.process) == math.inf
    machine.place("4:cpuset:/", "cgroup cgroup rw,cpuset")
    machine.write("", cfs_quota_us="100000", cfs_period_us="100000")
    assert cpu_quota(machine.process) == math.inf


@pytest.fixture
def real_group() -> Iterator[Path]:
    """A group with half a core, made as an administrator makes one."""
    for mount in _REAL:
        group = mount / f"polyprefix-{uuid.uuid4().hex}"
        try:
            group.mkdir()
            limit(group)
        except OSError:
            continue
        yield group
        group.rmdir()
        return
    pytest.skip("this machine does not allow groups with a CPU quota")


def limit(group: Path) -> None:
    if (group / "cpu.cfs_quota_us").exists():
        (group / "cpu.cfs_quota_us").write_text("50000")
    elif (group / "cpu.max").exists():
        (group / "cpu.max").write_text("50000 100000")
    else:
        group.rmdir()
        raise OSError("the file system has no CPU quotas")


def test_a_process_in_a_limited_group_finds_its_quota(real_group: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from prefixes.cgroups import cpu_quota; "
        "sys.stdin.readline(); print(cpu_quota())"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    (real_group / "cgroup.procs").write_text(str(process.pid))
    printed, _ = process.communicate("\n")
    assert float(printed) == 0.5
