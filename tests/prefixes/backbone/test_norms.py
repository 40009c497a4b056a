"""Vectors of the norms: what they overwrite."""

import pytest
import torch

from prefixes.backbone.norms import TaskVectors


@pytest.mark.parametrize("places", [None, [0, 1, 4]])
def test_hidden_states_are_overwritten_only_if_they_may_be(places: list[int] | None) -> None:
    pool = torch.randn(8, 2, 3)  # a slot has the six values of a token
    at = None if places is None else torch.tensor(places)
    count = 5 if places is None else len(places)
    vectors = TaskVectors(torch.arange(2 * count).view(2, count) % 8, at)
    hidden = torch.randn(1, 5, 6)
    before = hidden.clone()
    changed = vectors.apply(pool, hidden)
    assert torch.equal(hidden, before)
    overwritten = vectors.apply(pool, hidden, in_place=True)
    assert overwritten is hidden
    torch.testing.assert_close(overwritten, changed)
