import platform
import subprocess
import sys

import pytest

_FAULTS = """
import resource, sys, threading
import torch
from server.allocation import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def touch():
    for _ in range(10):
        [torch.ones(2**20) for _ in range(20)]  # 80 MiB at once, then none
def count():
    touch()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    touch()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
torch.set_num_threads(1)
stream = threading.Thread(target=count)
stream.start()
stream.join()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="an option of glibc")
def test_the_next_batch_gets_the_memory_of_the_last_without_asking_the_system() -> None:
    assert _faults("keep") < 1000
    assert _faults("leave") > 5000  # else there is nothing to keep, and the option can go


def _faults(how: str) -> int:
    """Count the pages that the system had to bring for what was there before."""
    program = subprocess.run(
        [sys.executable, "-c", _FAULTS, how], capture_output=True, text=True, check=True
    )
    return int(program.stdout)
