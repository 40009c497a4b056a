"""A short run of the fuzzer: `make fuzz` sends many more requests."""

from pathlib import Path

import pytest

from prefixes.backbone import Backbone
from tests.fuzz.run import fuzz
from tests.fuzz.world import running_world


def test_generated_requests_get_documented_responses(
    backbone: Backbone, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_world(tmp_path / "store", backbone) as world:
        outcome = fuzz(world, tmp_path, num_cases=1, examples_per_route=3)
    assert not outcome.has_failed, capsys.readouterr().out[-10_000:]
    assert outcome.num_cases > 300
    assert not outcome.unreached
