"""Encoders whose scores depend on distance, DeBERTa and MPNet, in the packed forward pass."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from torch import Tensor
from transformers import (
    AutoModel,
    DebertaConfig,
    DebertaModel,
    DebertaV2Config,
    DebertaV2Model,
    MPNetConfig,
    MPNetModel,
)

from prefixes.backbone import Backbone, EncodedText, PackedBatch, Row, load_backbone
from prefixes.backbone.attention import PrefixedCall
from prefixes.backbone.inputs import ModelInputs
from tests.factories import make_backbone_folder, shake
from tests.parity import distances
from tests.parity.reference import Text

SIZES: Final = {
    "vocab_size": 120,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 80,
}


def deberta(**changes: Any) -> Any:
    both = {"relative_attention": True, "pos_att_type": "c2p|p2c", "position_biased_input": False}
    return DebertaModel(DebertaConfig(**{**SIZES, **both, **changes}))


def deberta_v2(**changes: Any) -> Any:
    v3 = {
        "relative_attention": True,
        "pos_att_type": "p2c|c2p",
        "position_biased_input": False,
        "share_att_key": True,
        "position_buckets": 8,
        "norm_rel_ebd": "layer_norm",
    }
    return DebertaV2Model(DebertaV2Config(**{**SIZES, **v3, **changes}))


KINDS: Final[dict[str, Callable[[], Any]]] = {
    "deberta": deberta,
    "deberta-token-types": lambda: deberta(type_vocab_size=2),
    "deberta-few-distances": lambda: deberta(max_relative_positions=6),
    "deberta-absolute": lambda: deberta(position_biased_input=True),
    "deberta-c2p": lambda: deberta(pos_att_type="c2p"),
    "deberta-p2c": lambda: deberta(pos_att_type="p2c"),
    "deberta-no-distances": lambda: deberta(relative_attention=False),
    "deberta-v3": deberta_v2,
    "deberta-v3-absolute": lambda: deberta_v2(position_biased_input=True, type_vocab_size=2),
    "deberta-v2": lambda: deberta_v2(conv_kernel_size=3, conv_act="gelu"),
    "deberta-v2-wide-kernel": lambda: deberta_v2(conv_kernel_size=5),
    "deberta-v2-own-projections": lambda: deberta_v2(share_att_key=False),
    "deberta-v2-no-buckets": lambda: deberta_v2(position_buckets=-1, max_relative_positions=9),
    "deberta-v2-c2p": lambda: deberta_v2(pos_att_type="c2p", share_att_key=False),
    "deberta-v2-p2c": lambda: deberta_v2(pos_att_type="p2c", norm_rel_ebd="none"),
    "deberta-v2-no-terms": lambda: deberta_v2(pos_att_type=None),
    "deberta-v2-no-distances": lambda: deberta_v2(relative_attention=False),
    "mpnet": lambda: MPNetModel(MPNetConfig(**SIZES)),
}


def load(model: Any, folder: Path, linear_kernel: str = "torch") -> Backbone:
    make_backbone_folder(folder)  # for its tokenizer
    torch.manual_seed(5)
    shake(model)
    model.save_pretrained(folder)
    return load_backbone(folder, device="cpu", linear_kernel=linear_kernel)


@pytest.fixture(scope="module", params=KINDS)
def backbone(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, linear_kernel: str
) -> Backbone:
    """A tiny random backbone of each kind."""
    folder = tmp_path_factory.mktemp("kind") / request.param
    return load(KINDS[request.param](), folder, linear_kernel)


@pytest.fixture(scope="module")
def plain(backbone: Backbone) -> Any:
    """The same as transformers runs it, with nothing of ours."""
    model = AutoModel.from_config(backbone.model.config, attn_implementation="eager").eval()
    model.load_state_dict(backbone.model.state_dict())
    return model


def texts_of(backbone: Backbone, lengths: Sequence[int]) -> list[EncodedText]:
    generator = torch.Generator().manual_seed(len(lengths))
    num_types = max(1, getattr(backbone.model.config, "type_vocab_size", 0))
    return [
        EncodedText(
            torch.randint(5, 120, (length,), generator=generator).tolist(),
            torch.randint(0, num_types, (length,), generator=generator).tolist(),
        )
        for length in lengths
    ]


def random_pool(backbone: Backbone, num_slots: int) -> Tensor:
    generator = torch.Generator().manual_seed(num_slots)
    return torch.randn(backbone.empty_pool(num_slots).shape, generator=generator)


def run(backbone: Backbone, rows: Sequence[Row], pool: Tensor) -> list[Tensor]:
    packed = PackedBatch.pack(rows)
    return list(torch.split(backbone(packed, pool), packed.cu_tokens.diff().tolist()))


def run_plainly(model: Any, text: EncodedText, **tokens: Tensor) -> Tensor:
    types = torch.tensor([text.token_type_ids])
    takes_types = getattr(model.config, "type_vocab_size", 0) > 0
    with torch.no_grad():
        hidden: Tensor = model(
            **(tokens or {"input_ids": torch.tensor([text.token_ids])}),
            **({"token_type_ids": types} if takes_types else {}),
        ).last_hidden_state
    return hidden[0]


def specified(backbone: Backbone, row: Row, pool: Tensor) -> Tensor:
    text = Text(row.token_ids, row.token_type_ids, row.first_position)
    keys, values = pool[:, :, list(row.slots)].transpose(2, 3).unbind(1)  # (L, H, P, D) each
    return distances.hidden_states(backbone.model, text, (keys, values))


def test_texts_without_prefixes_equal_transformers_on_each_alone(
    backbone: Backbone, plain: Any
) -> None:
    texts = texts_of(backbone, [40, 1, 9, 2, 17, 10, 70, 9])

    hidden = run(backbone, [backbone.row(text) for text in texts], backbone.empty_pool(1))

    for mine, text in zip(hidden, texts, strict=True):
        torch.testing.assert_close(mine, run_plainly(plain, text), atol=1e-5, rtol=0)


def test_texts_after_prefixes_equal_the_specification(backbone: Backbone) -> None:
    texts = texts_of(backbone, [13, 1, 6, 12])
    slots = [(0, 1, 2), (3, 4, 5, 6, 7), (1,), ()]
    pool = random_pool(backbone, 8)
    rows = [
        backbone.row(text, position_offset=len(mine), slots=mine)
        for text, mine in zip(texts, slots, strict=True)
    ]

    hidden = run(backbone, rows, pool)

    for mine, row in zip(hidden, rows, strict=True):
        expected = specified(backbone, row, pool)
        torch.testing.assert_close(mine.double(), expected, atol=1e-5, rtol=0)


def test_a_text_in_a_mixed_batch_equals_the_text_alone(backbone: Backbone) -> None:
    pool = random_pool(backbone, 20)
    texts = texts_of(backbone, [30, 3, 29, 11, 11, 55, 1])
    slots = [range(20), range(2), (), range(4, 9), range(9, 12), range(3), range(1)]
    rows = [
        backbone.row(text, position_offset=len(mine), slots=tuple(mine))
        for text, mine in zip(texts, slots, strict=True)
    ]

    together = run(backbone, rows, pool)

    for mine, row in zip(together, rows, strict=True):
        torch.testing.assert_close(mine, run(backbone, [row], pool)[0], atol=1e-5, rtol=0)


def test_gradients_of_a_prefix_equal_those_of_the_specification(backbone: Backbone) -> None:
    pool = random_pool(backbone, 4).requires_grad_()
    texts = texts_of(backbone, [7, 2])
    rows = [backbone.row(text, position_offset=3, slots=(0, 1, 3)) for text in texts]
    slow_pool = pool.detach().clone().requires_grad_()

    fast = torch.cat(run(backbone, rows, pool))
    slow = torch.cat([specified(backbone, row, slow_pool) for row in rows])
    weights = torch.randn(fast.shape, generator=torch.Generator().manual_seed(0))
    torch.autograd.backward((fast * weights).sum())
    torch.autograd.backward((slow * weights).sum())

    assert pool.grad is not None
    assert slow_pool.grad is not None
    assert not pool.grad[:, :, 2].any()  # nobody's slot
    scale = float(slow_pool.grad.abs().max())
    torch.testing.assert_close(pool.grad, slow_pool.grad, atol=1e-5 * scale, rtol=0)


def test_tokens_embedded_twice_equal_transformers_given_embeddings(
    backbone: Backbone, plain: Any
) -> None:
    texts = texts_of(backbone, [5, 12])
    packed = PackedBatch.pack([backbone.row(text) for text in texts])
    ids = (packed.token_ids, packed.token_type_ids, packed.position_ids)

    embeddings = backbone.architecture.embed(backbone.model, *ids)
    hidden = backbone.architecture.forward(
        backbone.model,
        ModelInputs(*ids, embeddings),
        PrefixedCall(packed, backbone.empty_pool(1)),
    )

    for start, text in zip((0, 5), texts, strict=True):
        mine = slice(start, start + len(text.token_ids))
        expected = run_plainly(plain, text, inputs_embeds=embeddings[:, mine])
        torch.testing.assert_close(hidden[mine], expected, atol=1e-5, rtol=0)


def test_recorded_keys_and_values_of_tokens_serve_as_a_prefix(backbone: Backbone) -> None:
    (text,) = texts_of(backbone, [6])
    recorded = backbone.keys_and_values(PackedBatch.pack([backbone.row(text)]))

    assert recorded.shape == backbone.empty_pool(6).shape
    after = run(backbone, [backbone.row(text, slots=(0, 5))], recorded)[0]
    torch.testing.assert_close(
        after.double(),
        specified(backbone, backbone.row(text, slots=(0, 5)), recorded),
        atol=1e-5,
        rtol=0,
    )


@pytest.mark.parametrize("kind", [deberta, deberta_v2])
@pytest.mark.parametrize("is_absolute", [False, True])
def test_a_position_offset_shifts_absolute_positions_and_no_distances(
    kind: Callable[..., Any], tmp_path: Path, *, is_absolute: bool
) -> None:
    backbone = load(kind(position_biased_input=is_absolute), tmp_path)
    (text,) = texts_of(backbone, [9])
    pool = random_pool(backbone, 2)

    hidden = [
        run(backbone, [backbone.row(text, position_offset=offset, slots=(0, 1))], pool)[0]
        for offset in (0, 30)
    ]

    assert torch.equal(*hidden) == (not is_absolute)


def test_distances_beyond_a_thousand_equal_transformers(tmp_path: Path) -> None:
    backbone = load(
        deberta_v2(position_buckets=256, max_relative_positions=512, max_position_embeddings=512),
        tmp_path,
    )
    texts = texts_of(backbone, [1100, 300])
    plain = AutoModel.from_pretrained(tmp_path).eval()

    hidden = run(backbone, [backbone.row(text) for text in texts], backbone.empty_pool(1))

    for mine, text in zip(hidden, texts, strict=True):
        torch.testing.assert_close(mine, run_plainly(plain, text), atol=1e-5, rtol=0)


def test_mpnet_counts_positions_behind_its_fixed_padding(tmp_path: Path) -> None:
    backbone = load(MPNetModel(MPNetConfig(**SIZES, pad_token_id=0)), tmp_path)

    assert backbone.fingerprint.max_positions == 78
    assert backbone.fingerprint.has_pooler


def test_a_deberta_has_no_pooler_and_its_positions_are_all_for_text(tmp_path: Path) -> None:
    facts = load(deberta(), tmp_path).fingerprint

    assert (facts.model_type, facts.num_heads, facts.head_size) == ("deberta", 3, 8)
    assert (facts.max_positions, facts.has_pooler) == (80, False)
