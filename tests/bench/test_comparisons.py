"""The bounds of ratios: for which backbone, number type, workload, batch size and processor."""

import pytest

from bench.comparisons import (
    BARE,
    COMPARISONS,
    FASTEST,
    LINEAR,
    OPENVINO,
    OURS,
    OURS_INT8,
    PLAIN,
    Cell,
    ratios,
)

ALL = {(each.contender, each.other): each for each in COMPARISONS}


@pytest.mark.parametrize(
    ("pair", "cell", "value"),
    [
        ((BARE, LINEAR), ("minilm", "float32", "short texts"), 1.5),
        ((BARE, LINEAR), ("minilm", "bfloat16", "short texts"), None),
        ((BARE, FASTEST), ("bert-base", "bfloat16", "all lengths"), 0.82),
        ((OURS, BARE), ("minilm", "float32", "short texts"), 0.95),
        ((OURS, BARE), ("roberta-large", "float32", "short texts"), None),
        ((OURS, OPENVINO), ("bert-base", "float32", "all lengths"), 2),
        ((OURS_INT8, OPENVINO), ("minilm", "bfloat16", "short texts"), 1.2),
        ((OURS_INT8, OPENVINO), ("minilm", "float32", "short texts"), None),
    ],
)
def test_a_bound_is_that_of_its_cell(
    pair: tuple[str, str], cell: tuple[str, str, str], value: float | None
) -> None:
    bound = ALL[pair].bound(Cell(*cell, batch=64), applies=True)
    assert (None if bound is None else bound.value) == value


def test_bounds_are_those_of_full_batches_on_the_processors_that_they_were_set_for() -> None:
    faster = ALL[BARE, LINEAR]
    assert faster.bound(Cell("minilm", "float32", "short texts", 8), applies=True) is None
    bound = faster.bound(Cell("minilm", "float32", "short texts", 64), applies=False)
    assert bound is not None
    assert not bound.applies


def test_chosen_kernels_must_not_be_slower_than_plain_ones_at_any_batch_size() -> None:
    cell = Cell("minilm", "float32", "short texts", 1)
    seconds = {OURS: [2.0, 2.0, 2.0], PLAIN: [1.9, 1.8, 1.9]}
    kernels = {OURS: {"linear": "onednn"}, PLAIN: {"linear": "torch"}}
    (figure,) = ratios(cell, seconds, {}, kernels)
    assert figure.name == "1000 prefixes / 1000 prefixes, plain kernels"
    assert figure.measured == pytest.approx(0.95)
    assert figure.holds is False
    (figure,) = ratios(cell, {OURS: [2.0] * 3, PLAIN: [2.1, 2.2, 2.2]}, {}, kernels)
    assert figure.holds


def test_plain_kernels_are_not_compared_with_themselves() -> None:
    cell = Cell("minilm", "float32", "short texts", 1)
    kernels = {OURS: {"linear": "torch"}, PLAIN: {"linear": "torch"}}
    (figure,) = ratios(cell, {OURS: [2.0] * 3, PLAIN: [1.0] * 3}, {}, kernels)
    assert (figure.measured, figure.note) == (None, "the chosen kernels are the plain ones")


def test_a_ratio_with_an_absent_contender_gives_its_reason() -> None:
    cell = Cell("minilm", "float32", "short texts", 64)
    (figure,) = ratios(cell, {OURS: [1.0]}, {OPENVINO: "no such version"}, {})
    assert (figure.measured, figure.note) == (None, "no such version")
