"""Vectors of the norms: what they overwrite, and that the compiled operator changes as much."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from prefixes.backbone.grouping import TextSlots
from prefixes.backbone.norms import TaskVectors
from prefixes.backbone.packing import Row
from tests.kernels import load_compiled_attention, needs_compiler

SOME: Sequence[Sequence[int]] = ((0, 1), (), (2, 2))
ALL: Sequence[Sequence[int]] = ((0, 1), (1, 3), (2, 2))


def vectors_of(slots: Sequence[Sequence[int]]) -> TaskVectors:
    """Return the vectors of three texts of 2, 1 and 2 tokens."""
    rows = [Row([0] * n, [0] * n, 0, vectors=own) for n, own in zip((2, 1, 2), slots, strict=True)]
    vectors = TaskVectors.of(rows, np.array([0, 2, 3, 5]), "cpu")
    assert vectors is not None
    return vectors


@pytest.fixture(params=["torch", pytest.param("compiled", marks=needs_compiler)])
def _operator(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "compiled":
        load_compiled_attention()
    else:
        monkeypatch.setattr(TextSlots, "of", lambda *_: None)


@pytest.mark.parametrize("slots", [SOME, ALL], ids=["some", "all"])
@pytest.mark.usefixtures("_operator")
def test_hidden_states_are_overwritten_only_if_they_may_be(slots: Sequence[Sequence[int]]) -> None:
    pool = torch.randn(4, 2, 3)  # a slot has the six values of a token
    hidden = torch.randn(1, 5, 6)
    before = hidden.clone()
    changed = vectors_of(slots).apply(pool, hidden)
    assert torch.equal(hidden, before)
    assert torch.equal(changed[0, 2], hidden[0, 2]) == (slots is SOME)
    overwritten = vectors_of(slots).apply(pool, hidden, in_place=True)
    assert overwritten is hidden
    torch.testing.assert_close(overwritten, changed)


@needs_compiler
def test_both_operators_are_tested() -> None:
    load_compiled_attention()
    assert vectors_of(ALL).texts is not None


@pytest.mark.usefixtures("_operator")
@pytest.mark.parametrize("number_type", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_vectors_apply_in_every_number_type(number_type: torch.dtype) -> None:
    pool = torch.randn(4, 2, 3).to(number_type)
    hidden = torch.randn(1, 5, 6).to(number_type)
    expected = vectors_of(SOME).apply(pool.double(), hidden.double())
    changed = vectors_of(SOME).apply(pool, hidden, in_place=True)
    torch.testing.assert_close(changed.double(), expected, rtol=0.02, atol=0.02)
