import platform
import subprocess
import sys

import pytest

_FAULTS = """
import resource, sys, threading
import torch
from server.hosting.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def touch():
    for size in range(1, 40):  # batches of many sizes
        few, many = torch.ones(size * 2**16), torch.ones(size * 2**18)
        few = few + 1
        many = many + 1
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
def test_the_next_batch_reuses_the_memory_of_the_last() -> None:
    kept, left = _faults("keep"), _faults("leave")
    assert kept < left / 2
    assert left > 20_000  # otherwise the option is not needed


def _faults(how: str) -> int:
    """Count the page faults of a second pass over the same sizes."""
    program = subprocess.run(
        [sys.executable, "-c", _FAULTS, how], capture_output=True, text=True, check=True
    )
    return int(program.stdout)


_TRIM = """
import torch
from server.hosting.memory import keep_freed_memory
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
blocks = [torch.ones(2**13) for _ in range(4000)]  # on the heap, since each is below 128 KiB
last = torch.ones(2**13)  # above them, so that the heap cannot shrink by itself
del blocks
before = resident()
keep_freed_memory()
print(before - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="an option of glibc")
def test_memory_that_loading_freed_is_returned_to_the_system() -> None:
    program = subprocess.run(
        [sys.executable, "-c", _TRIM], capture_output=True, text=True, check=True
    )
    assert int(program.stdout) > 50 * 2**20
