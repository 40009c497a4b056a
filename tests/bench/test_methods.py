"""The settings that each compared method tries."""

import pytest

pytest.importorskip("peft", reason="needs the extra of benchmarks")

from bench.methods import METHODS, distinct_settings


@pytest.mark.parametrize(("rows", "num_settings"), [(100, 3), (1056, 3), (1057, 5), (None, 5)])
def test_more_epochs_are_tried_only_where_they_add_steps(
    rows: int | None, num_settings: int
) -> None:
    assert len(distinct_settings(METHODS["fine-tuning"].grid, rows)) == num_settings
