"""The spin count of OpenMP, as the library that torch loads reports it."""

import os
import subprocess
import sys

import pytest

from server.command_line.openmp import limit_spinning

_REPORT = """
import sys
from server.command_line.main import main
sys.argv = ["polyprefix", "--help"]
try:
    main()
except SystemExit:
    import torch
"""


def _reported(**variables: str) -> str:
    """Return what GNU OpenMP reports on its settings when torch loads it."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}
    }
    program = subprocess.run(
        [sys.executable, "-c", _REPORT],
        env={**inherited, "OMP_DISPLAY_ENV": "verbose", **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    if "GOMP_SPINCOUNT" not in program.stderr:
        pytest.skip("this build of torch does not use GNU OpenMP")
    return program.stderr


def test_the_command_limits_the_spin_count_before_torch_is_loaded() -> None:
    assert "GOMP_SPINCOUNT = '10000'" in _reported()


def test_the_operators_spin_count_is_kept() -> None:
    assert "GOMP_SPINCOUNT = '77'" in _reported(GOMP_SPINCOUNT="77")


def test_the_operators_wait_policy_is_kept() -> None:
    environment = {"OMP_WAIT_POLICY": "ACTIVE"}
    limit_spinning(environment)
    assert environment == {"OMP_WAIT_POLICY": "ACTIVE"}
