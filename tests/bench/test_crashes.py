"""The script that kills servers: a short run finds nothing lost."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
NUM_KILLS = 4


def test_killed_servers_lose_no_acknowledged_change() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "bench.crashes", "--kills", str(NUM_KILLS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    last = run.stdout.strip().splitlines()[-1]
    found = re.match(rf"{NUM_KILLS} kills, (\d+) acknowledged changes .* 0 problems$", last)
    assert found, run.stdout
    assert int(found[1]) > NUM_KILLS
