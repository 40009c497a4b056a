"""The packed forward pass against outputs of the original P-tuning v2 code.

The tensors lie beside the repository and are not part of it; see the README there.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from prefixes import HeadSpec, HeadTensors, Prefix
from prefixes.backbone import (
    Backbone,
    EncodedText,
    PackedBatch,
    load_backbone,
    pool_of,
    run_mixed,
)
from tests.factories import make_backbone_folder, make_spec

GOLDEN: Final = Path(__file__).parents[2].parent / "shared" / "golden"
TOLERANCE: Final = 2e-5


@dataclass(frozen=True)
class Case:
    """One of the original's models: its backbone, what it was trained to, what it computed."""

    backbone: Backbone
    checkpoint: dict[str, Tensor]
    expected: dict[str, Tensor]
    texts: list[EncodedText]

    @property
    def prefix(self) -> Prefix:
        """The original's prefix and head: BERT's own pooler, RoBERTa's never pretrained one."""
        facts = self.backbone.fingerprint
        keys, values = self.expected["past_key_values"].unbind(1)
        weights = [self.checkpoint[f"classifier.{part}"].numpy() for part in ("weight", "bias")]
        if facts.has_pooler:
            spec = HeadSpec(pooling="pooler")
        else:
            spec = HeadSpec(pooling="first_token", activation="tanh")
            weights += [
                self.checkpoint[f"{facts.model_type}.pooler.dense.{part}"].numpy()
                for part in ("weight", "bias")
            ]
        described = make_spec(
            facts,
            labels=tuple(map(str, range(len(weights[0])))),
            prefix_length=keys.shape[2],
            max_length=32,
            head=spec,
        )
        return Prefix(described, keys.numpy(), values.numpy(), HeadTensors(*weights))


@pytest.fixture(scope="module", params=["bert", "roberta"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    source = GOLDEN / f"{request.param}_seq_prefix"
    if not source.is_dir():
        pytest.skip("the golden tensors of the original code are not beside the repository")
    # The original's tiny models have no tokenizer; any will do, the inputs are token numbers.
    folder = make_backbone_folder(tmp_path_factory.mktemp("golden"), request.param)
    for name in ("config.json", "model.safetensors"):
        (folder / name).unlink()
        shutil.copyfile(source / "backbone" / name, folder / name)
    inputs = load_file(source / "inputs.safetensors")
    lengths = inputs["attention_mask"].sum(1).tolist()
    types = inputs.get("token_type_ids", torch.zeros_like(inputs["input_ids"]))
    texts = [
        EncodedText(ids[:length].tolist(), kinds[:length].tolist())
        for ids, kinds, length in zip(inputs["input_ids"], types, lengths, strict=True)
    ]
    return Case(
        load_backbone(folder, device="cpu"),
        torch.load(source / "checkpoint" / "pytorch_model.bin", weights_only=True),
        load_file(source / "expected.safetensors"),
        texts,
    )


def packed_hidden_states(case: Case, *, with_prefix: bool) -> list[Tensor]:
    pool, (resident,) = pool_of(case.backbone, [case.prefix])
    slots = resident.slots if with_prefix else ()
    rows = [case.backbone.row(text, position_offset=len(slots), slots=slots) for text in case.texts]
    with torch.no_grad():
        hidden = case.backbone(PackedBatch.pack(rows), pool)
    return list(torch.split(hidden, [len(text.token_ids) for text in case.texts]))


@pytest.mark.parametrize(
    ("name", "with_prefix"),
    [
        pytest.param("last_hidden_state", True, id="with-prefix"),
        pytest.param("no_prefix_last_hidden_state", False, id="without-prefix"),
    ],
)
def test_hidden_states_equal_the_originals(case: Case, name: str, *, with_prefix: bool) -> None:
    hidden = packed_hidden_states(case, with_prefix=with_prefix)

    for mine, theirs in zip(hidden, case.expected[name], strict=True):
        torch.testing.assert_close(mine, theirs[: len(mine)], atol=TOLERANCE, rtol=0)


def test_logits_equal_the_originals(case: Case) -> None:
    prefix = Prefix.from_bytes(case.prefix.to_bytes(), fits=case.backbone.fingerprint)
    pool, (resident,) = pool_of(case.backbone, [prefix])

    logits = run_mixed(case.backbone, pool, [(text, resident) for text in case.texts])

    torch.testing.assert_close(torch.stack(logits), case.expected["logits"], atol=TOLERANCE, rtol=0)


def test_the_originals_flat_prefix_has_the_layout_of_ours(case: Case) -> None:
    keys = case.prefix.tensors["prefix.keys"]
    num_layers, num_heads, prefix_length, size = keys.shape

    flat = case.expected["prefix_flat"].view(prefix_length, num_layers, 2, num_heads, size)

    stacked = flat.permute(1, 2, 3, 0, 4)  # (P, L, 2, H, D) -> (L, 2, H, P, D)
    torch.testing.assert_close(stacked, case.expected["past_key_values"], atol=1e-6, rtol=0)
