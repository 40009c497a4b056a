"""DeBERTa in the packed forward pass against outputs of the original P-tuning v2 code.

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

from prefixes.backbone import Backbone, EncodedText, PackedBatch, load_backbone
from tests.factories import make_backbone_folder

GOLDEN: Final = Path(__file__).parents[2].parent / "shared" / "golden"
TOLERANCE: Final = 2e-5

CASES: Final = (
    "deberta_mc_prefix",
    "deberta_qa_prefix",
    "deberta_seq_prefix_proj",
    "deberta_token_prefix_proj",
    "debertav2_token_prefix",
    "debertav2_token_prefix_conv_proj",
)


@dataclass(frozen=True)
class Case:
    """One of the original's models: what it was given, and what it computed."""

    backbone: Backbone
    texts: list[EncodedText]
    expected: dict[str, Tensor]

    def hidden_states(self, slots: tuple[int, ...], pool: Tensor) -> list[Tensor]:
        rows = [self.backbone.row(text, slots=slots) for text in self.texts]
        hidden = self.backbone(PackedBatch.pack(rows), pool)
        return list(torch.split(hidden, [len(text.token_ids) for text in self.texts]))

    def assert_equal(self, hidden: list[Tensor], name: str) -> None:
        theirs = self.expected[name].flatten(0, -3)  # (B, S, hidden), choices one by one
        for mine, padded in zip(hidden, theirs, strict=True):
            torch.testing.assert_close(mine, padded[: len(mine)], atol=TOLERANCE, rtol=0)


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    source = GOLDEN / request.param
    if not source.is_dir():
        pytest.skip("the golden tensors of the original code are not beside the repository")
    # The original's tiny models have no tokenizer; any will do, the inputs are token numbers.
    folder = make_backbone_folder(tmp_path_factory.mktemp("golden"))
    for name in ("config.json", "model.safetensors"):
        (folder / name).unlink()
        shutil.copyfile(source / "backbone" / name, folder / name)
    inputs = {
        name: values.flatten(0, -2)  # (B, S), choices one by one
        for name, values in load_file(source / "inputs.safetensors").items()
    }
    lengths = inputs["attention_mask"].sum(1).tolist()
    texts = [
        EncodedText(ids[:length].tolist(), kinds[:length].tolist())
        for ids, kinds, length in zip(
            inputs["input_ids"], inputs["token_type_ids"], lengths, strict=True
        )
    ]
    return Case(
        load_backbone(folder, device="cpu"), texts, load_file(source / "expected.safetensors")
    )


def test_hidden_states_after_a_prefix_equal_the_originals(case: Case) -> None:
    pool = case.expected["past_key_values"].transpose(2, 3)  # (L, 2, H, P, D) -> (L, 2, P, H, D)

    hidden = case.hidden_states(tuple(range(pool.shape[2])), pool)

    case.assert_equal(hidden, "last_hidden_state")


def test_hidden_states_without_a_prefix_equal_the_originals(case: Case) -> None:
    hidden = case.hidden_states((), case.backbone.empty_pool(1))

    case.assert_equal(hidden, "no_prefix_last_hidden_state")
