"""Shallow prompts: what the plain model gives for prompt and text, embedded as the original did."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModel

from prefixes import HeadSpec
from prefixes.backbone import (
    Backbone,
    EncodedText,
    Row,
    pool_of,
    run_mixed,
)
from prefixes.backbone.architecture import ARCHITECTURES
from prefixes.backbone.kernels.names import Kernels
from tests.factories import encode_each, make_backbone_folder, make_prefix
from tests.kernels import load_with

LENGTHS = (9, 1, 30, 12)


@pytest.fixture(scope="module", params=sorted(ARCHITECTURES))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_backbone_folder(tmp_path_factory.mktemp("prompts") / "model", request.param, seed=3)


def texts() -> list[EncodedText]:
    generator = torch.Generator().manual_seed(1)
    return [
        EncodedText(torch.randint(5, 90, (n,), generator=generator).tolist(), [0] * n)
        for n in LENGTHS
    ]


def prompt_for(backbone: Backbone, length: int) -> Tensor:
    width = backbone.fingerprint.embedding_size or backbone.fingerprint.hidden_size
    generator = torch.Generator().manual_seed(length)
    return torch.randn(length, width, generator=generator, requires_grad=True)


def run_plain(backbone: Backbone, model: Any, row: Row) -> Tensor:
    """Embed the text, put the prompt in front, and send both through the whole model."""
    first = row.first_position
    positions = torch.arange(first, first + row.num_tokens)[None]
    ids, types = torch.tensor([row.token_ids]), torch.tensor([row.token_type_ids])
    raw = backbone.architecture.embed(model, ids, types, positions[:, : len(row.token_ids)])
    assert row.prompt is not None
    inputs = {"inputs_embeds": torch.cat((row.prompt[None], raw), 1)}
    if "position_ids" in inspect.signature(model.forward).parameters:
        inputs["position_ids"] = positions
    hidden: Tensor = model(**inputs).last_hidden_state[0]
    return hidden


def test_prompts_of_any_length_share_a_batch_with_texts_that_have_none(
    folder: Path, kernels: Kernels
) -> None:
    backbone = load_with(kernels, folder)
    plain = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    prompts = [prompt_for(backbone, 4), None, prompt_for(backbone, 1), prompt_for(backbone, 7)]
    rows = [
        backbone.row(text, prompt=prompt) for text, prompt in zip(texts(), prompts, strict=True)
    ]
    pool = backbone.empty_pool(1)

    with torch.no_grad():
        hidden = torch.split(backbone(backbone.pack(rows), pool), [row.num_tokens for row in rows])

        for row, mine in zip(rows, hidden, strict=True):
            if row.prompt is None:
                alone = backbone(backbone.pack([row]), pool)
            else:
                alone = run_plain(backbone, plain, row)
            torch.testing.assert_close(mine, alone, atol=1e-5, rtol=0)


def test_gradients_reach_the_prompt_of_a_text_and_no_other(folder: Path, kernels: Kernels) -> None:
    backbone = load_with(kernels, folder)
    prompts = [prompt_for(backbone, 4), prompt_for(backbone, 5)]
    rows = [backbone.row(text, prompt=prompt) for text, prompt in zip(texts(), prompts)]  # noqa: B905 - two of them

    hidden = backbone(backbone.pack(rows), backbone.empty_pool(1))
    hidden[: rows[0].num_tokens].square().sum().backward()  # type: ignore[no-untyped-call]

    assert prompts[0].grad is not None
    assert prompts[1].grad is not None
    assert prompts[0].grad.abs().sum() > 0
    assert prompts[1].grad.abs().sum() == 0


@pytest.mark.parametrize("pooled_from", ["text", "prompt"])
def test_a_prompts_head_reads_the_texts_first_token_or_the_prompts(
    backbone: Backbone, pooled_from: str
) -> None:
    head = HeadSpec.model_validate({"pooling": "pooler", "pooled_from": pooled_from})
    prefix = make_prefix(backbone.fingerprint, method="prompt", head=head)
    deep = make_prefix(backbone.fingerprint, seed=2)
    pool, (resident, other) = pool_of(backbone, [prefix, deep])
    (text,) = encode_each(backbone, prefix.spec, [{"text": "a very good film"}])

    together = run_mixed(backbone, pool, [(text, other), (text, resident), (text, other)])

    row = backbone.row(text, prompt=resident.prompt)
    with torch.no_grad():
        hidden = backbone(backbone.pack([row]), pool)
        place = row.prompt_length if pooled_from == "text" else 0
        assert backbone.pooler is not None
        expected = resident.head(backbone.pooler(hidden[place][None, None]))[0]
    torch.testing.assert_close(together[1], expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(together[0], together[2], atol=1e-6, rtol=0)
