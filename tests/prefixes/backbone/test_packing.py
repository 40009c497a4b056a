"""Packing: in any mix, every token is computed once, for its own request."""

from itertools import pairwise

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from prefixes.backbone import PackedBatch, Row
from prefixes.backbone.grouping import AttentionGroup, similar_rows


def make_row(length: int, num_slots: int, first_slot: int, first_position: int) -> Row:
    """Make a row whose tokens, types and slots can be told from those of most others."""
    token_ids = [(first_slot + n) % 99 for n in range(length)]
    slots = range(first_slot, first_slot + num_slots)
    return Row(token_ids, [n % 2 for n in token_ids], first_position, slots)


rows = st.builds(
    make_row,
    st.integers(1, 40),
    st.sampled_from([0, 1, 7, 8, 9, 128]),
    st.integers(0, 500),
    st.integers(0, 200),
)
batches = st.lists(rows, min_size=1, max_size=12)


Columns = tuple[AttentionGroup, list[list[int]], list[list[int]]]


def columns_of(packed: PackedBatch) -> list[Columns]:
    """List each group with the tokens, as the caller counts them, and slots of its rows.

    Padding is included.
    """
    laid = packed.in_layout_order(torch.arange(packed.num_tokens))
    numbers = torch.split(laid, [group.num_tokens for group in packed.groups])
    columns: list[Columns] = []
    for group, own in zip(packed.groups, numbers, strict=True):
        slots: list[list[int]] = [[]] * group.num_rows
        if group.slots is not None:
            slots = group.slots.view(group.num_rows, -1).tolist()
        columns.append((group, group.by_row(own).tolist(), slots))
    return columns


@given(batches)
def test_rows_are_given_back_end_to_end_in_the_callers_order(batch: list[Row]) -> None:
    packed = PackedBatch.pack(batch)

    assert packed.num_rows == len(batch)
    assert packed.num_tokens == sum(len(row.token_ids) for row in batch)
    token_ids, types, positions = (
        packed.in_callers_order(values[0])
        for values in (packed.token_ids, packed.token_type_ids, packed.position_ids)
    )
    for index, row in enumerate(batch):
        begin, end = packed.cu_tokens[index : index + 2].tolist()
        assert token_ids[begin:end].tolist() == row.token_ids
        assert types[begin:end].tolist() == row.token_type_ids
        expected = range(row.first_position, row.first_position + len(row.token_ids))
        assert positions[begin:end].tolist() == list(expected)


@given(batches, st.sampled_from([1, 7, 20, 40]))
def test_the_compiled_attention_gets_short_rows_in_the_callers_order(
    batch: list[Row], longest: int
) -> None:
    packed = PackedBatch.pack(batch, longest_compiled=longest)

    short = [row for row in batch if len(row.token_ids) <= longest]
    assert sum(group.num_rows for group in packed.groups) == len(batch) - len(short)
    if not short:
        assert packed.compiled is None
        return
    assert packed.compiled is not None
    bounds, slot_bounds, slots = (
        values.tolist()
        for values in (packed.compiled.bounds, packed.compiled.slot_bounds, packed.compiled.slots)
    )
    assert [slots[a:b] for a, b in pairwise(slot_bounds)] == [list(row.slots) for row in short]
    tokens = packed.token_ids[0].tolist()
    assert [tokens[a:b] for a, b in pairwise(bounds)] == [row.token_ids for row in short]
    assert packed.compiled.num_tokens == bounds[-1]


@given(batches, st.sampled_from([0, 7, 40]))
def test_tokens_that_moved_return_to_their_places(batch: list[Row], longest: int) -> None:
    packed = PackedBatch.pack(batch, longest_compiled=longest)
    numbers = torch.arange(packed.num_tokens)
    expected = [token for row in batch for token in row.token_ids]
    assert packed.in_callers_order(packed.token_ids, 1)[0].tolist() == expected
    assert torch.equal(packed.in_callers_order(packed.in_layout_order(numbers)), numbers)
    assert (packed.restore is None) == torch.equal(packed.in_layout_order(numbers), numbers)


@given(batches)
def test_every_token_finds_its_own_place_in_the_groups_outputs(batch: list[Row]) -> None:
    packed = PackedBatch.pack(batch)
    numbers = torch.arange(packed.num_tokens)
    parts = torch.split(numbers, [group.num_tokens for group in packed.groups])

    pairs = zip(packed.groups, parts, strict=True)
    outputs = [group.end_to_end(group.by_row(part)) for group, part in pairs]

    assert torch.cat(outputs).tolist() == numbers.tolist()
    assert packed.in_callers_order(numbers).sort().values.tolist() == numbers.tolist()


@given(batches)
def test_a_row_attends_to_its_own_slots_and_tokens_each_once_and_to_nothing_else(
    batch: list[Row],
) -> None:
    packed = PackedBatch.pack(batch)
    bounds = packed.cu_tokens.tolist()
    seen = []
    for group, tokens, slots in columns_of(packed):
        for number, (own_tokens, own_slots) in enumerate(zip(tokens, slots, strict=True)):
            index = int(np.searchsorted(bounds, own_tokens[0], side="right")) - 1
            attended = [True] * len(own_slots + own_tokens)
            if group.mask is not None:
                attended = group.mask[number, 0, 0].tolist()
            real = [x for x, on in zip(own_slots + own_tokens, attended, strict=True) if on]
            expected = [*batch[index].slots, *range(bounds[index], bounds[index + 1])]
            assert real == expected
            seen.append(index)

    assert sorted(seen) == list(range(len(batch)))


@given(batches)
def test_padding_points_at_the_rows_own_tokens_and_slots(batch: list[Row]) -> None:
    packed = PackedBatch.pack(batch)
    bounds = packed.cu_tokens.tolist()
    for _, tokens, slots in columns_of(packed):
        for own_tokens, own_slots in zip(tokens, slots, strict=True):
            index = int(np.searchsorted(bounds, own_tokens[0], side="right")) - 1
            assert set(own_tokens) == set(range(bounds[index], bounds[index + 1]))
            assert set(own_slots) == set(batch[index].slots)


@given(batches)
def test_a_group_has_a_mask_exactly_when_its_rows_differ_in_length(batch: list[Row]) -> None:
    for group in PackedBatch.pack(batch).groups:
        if group.mask is not None:
            assert not group.mask.all()
            assert group.mask.shape[0] == group.num_rows


@given(st.lists(st.tuples(st.integers(9, 1500), st.integers(0, 1)), min_size=2, max_size=12))
def test_a_group_wastes_at_most_a_third_of_a_row_on_padding(
    shapes: list[tuple[int, int]],
) -> None:
    batch = [
        Row([0] * length, [0] * length, 0, range(16 * has_prefix)) for length, has_prefix in shapes
    ]
    for _, tokens, _ in columns_of(PackedBatch.pack(batch)):
        for own_tokens in tokens:
            assert 3 * len(set(own_tokens)) >= 2 * len(own_tokens)


def test_rows_with_and_without_a_prefix_never_share_a_group() -> None:
    batch = [Row([1, 2], [0, 0], 0), Row([1, 2], [0, 0], 4, (0, 1, 2, 3))]

    groups = PackedBatch.pack(batch).groups

    assert [(group.num_rows, group.slots is None) for group in groups] == [(1, True), (1, False)]


def test_rows_of_one_length_need_one_group_and_no_mask() -> None:
    batch = [Row([n, n, n], [0, 0, 0], 0, (n, n + 1)) for n in range(5)]

    (group,) = PackedBatch.pack(batch).groups

    assert group.num_rows == 5
    assert group.mask is None


def test_texts_of_few_lengths_are_grouped_by_them_and_need_no_padding() -> None:
    lengths = [18, 19, 20] * 5
    batch = [Row([5] * n, [0] * n, 0, (1, 2)) for n in lengths]

    groups = PackedBatch.pack(batch).groups

    assert [(group.num_rows, group.longest) for group in groups] == [(5, 18), (5, 19), (5, 20)]
    assert all(group.padding is None and group.mask is None for group in groups)


def test_short_texts_that_all_differ_share_a_call_instead() -> None:
    batch = [Row([5] * n, [0] * n, 0, (1, 2)) for n in (17, 19, 20, 22)]

    (group,) = PackedBatch.pack(batch).groups

    assert group.padding is not None
    assert group.longest == 22


def test_a_gpu_is_given_few_calls_however_long_the_texts() -> None:
    lengths = [100, 101, 102]

    assert similar_rows(lengths, [4, 4, 4], parts_lengths=True) == [[0], [1], [2]]
    assert similar_rows(lengths, [4, 4, 4], parts_lengths=False) == [[0, 1, 2]]


def test_long_texts_are_parted_into_groups_whose_scores_fit_in_memory() -> None:
    rows = [Row([5] * 512, [0] * 512, 0, (1, 2)) for _ in range(40)]

    groups = PackedBatch.pack(rows).groups

    assert [group.num_rows for group in groups] == [16, 16, 8]
    short = [Row([5] * 20, [0] * 20, 0) for _ in range(256)]
    assert len(PackedBatch.pack(short).groups) == 1
