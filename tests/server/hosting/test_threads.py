"""The threads of the process that runs an engine."""

import os
import subprocess
import sys

_PROGRAM = """
import torch
from server.hosting import assembly
from server.settings import Settings

assembly.num_usable_cores = lambda: 2  # as in a container with a CPU quota
for chosen in (None, 3):
    assembly.prepare_process(Settings(num_threads=chosen))
    print(torch.get_num_threads())
"""


def test_an_engine_has_a_thread_for_each_usable_core_unless_a_setting_says_otherwise() -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "8"}  # as torch has on 8 processors
    command = [sys.executable, "-c", _PROGRAM]
    program = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert program.stdout.split() == ["2", "3"]
