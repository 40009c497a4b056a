"""Every architecture: a packed batch gives each text what plain transformers gives it alone."""

import functools
import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModel

from prefixes.backbone import Backbone, PackedBatch, Row, load_backbone
from prefixes.backbone.architecture import ARCHITECTURES
from prefixes.backbone.attention import PrefixedCall
from prefixes.backbone.inputs import ModelInputs
from prefixes.backbone.kernels.names import Kernels
from prefixes.encoded import EncodedText
from tests.encoders import ENCODERS
from tests.factories import make_backbone_folder
from tests.kernels import load_with
from tests.parity.one_text import load_slow, run_one
from tests.parity.past import run_with_past

OWN_ATTENTION = {"deberta", "deberta-v2", "mpnet"}
"""Those that do not call transformers' attention interface."""

ROTARY = {"eurobert", "gte", "jina_embeddings_v3", "modernbert", "nomic_bert", "ultrabert"}
TAKES_PAST = {
    "bert",
    "camembert",
    "data2vec-text",
    "electra",
    "ernie",
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
}
"""Those whose plain model takes token types and `past_key_values`."""

WITHOUT_SHIFTS = {"eurobert", "ultrabert"}
"""Those whose norms have no bias."""

WITHOUT_POOLER = {
    "bert-generation",
    "deberta",
    "deberta-v2",
    "distilbert",
    "electra",
    "eurobert",
    "gte",
    "modernbert",
    "nomic_bert",
    "splinter",
    "ultrabert",
}
LENGTHS = (12, 3, 45, 40, 11, 100, 1)  # lengths that share a group, and longer than any window
NUM_SLOTS = 40
PAGE = (Path(__file__).parents[2] / "docs" / "architectures.md").read_text()


@dataclass(frozen=True)
class Subject:
    """One architecture: its tiny model on disk, and loaded as a backbone."""

    name: str
    folder: Path
    backbone: Backbone

    def plain(self, **options: Any) -> Any:
        return AutoModel.from_pretrained(self.folder, **options).eval()


@pytest.fixture(scope="module", params=sorted(ARCHITECTURES))
def subject(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, kernels: Kernels
) -> Subject:
    folder = tmp_path_factory.mktemp("architecture") / request.param
    make_backbone_folder(folder, request.param, seed=5)
    backbone = load_with(kernels, folder)
    return Subject(request.param, folder, backbone)


def text_of(subject: Subject, num_tokens: int) -> EncodedText:
    """Random tokens, the second half of the second type where the model tells types apart."""
    generator = torch.Generator().manual_seed(num_tokens)
    tokens = torch.randint(5, 95, (num_tokens,), generator=generator).tolist()
    num_types = getattr(subject.backbone.model.config, "type_vocab_size", 0)
    half = num_tokens // 2 if num_types > 1 else num_tokens
    return EncodedText(tokens, [0] * half + [1] * (num_tokens - half))


def texts_of(subject: Subject) -> list[EncodedText]:
    return [text_of(subject, length) for length in LENGTHS]


def make_pool(backbone: Backbone) -> Tensor:
    empty = backbone.empty_pool(NUM_SLOTS)
    return torch.randn(empty.shape, generator=torch.Generator().manual_seed(0)).to(empty)


def plain_inputs(model: Any, row: Row, *, with_positions: bool = False) -> dict[str, Tensor]:
    """Return the plain model's inputs for one text; without a prefix, it sets positions itself."""
    inputs = {"input_ids": torch.tensor([row.token_ids])}
    if "token_type_ids" in inspect.signature(model.forward).parameters:
        inputs["token_type_ids"] = torch.tensor([row.token_type_ids])
    if with_positions:
        first = row.first_position
        inputs["position_ids"] = torch.arange(first, first + len(row.token_ids))[None]
    return inputs


@torch.no_grad()
def run(backbone: Backbone, rows: list[Row], pool: Tensor) -> list[Tensor]:
    packed = backbone.pack(rows)
    return list(torch.split(backbone(packed, pool), [len(row.token_ids) for row in rows]))


def mixed_rows(subject: Subject) -> list[Row]:
    """Texts of all lengths after prefixes of several lengths, two of them after none."""
    slots = [range(8), range(8, 9), range(9, 40), (), range(3, 12), range(30, 36), ()]
    return [
        subject.backbone.row(text, position_offset=len(places), slots=tuple(places))
        for text, places in zip(texts_of(subject), slots, strict=True)
    ]


def largest_difference(some: list[Tensor], others: list[Tensor]) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(some, others, strict=True))


def test_there_is_a_tiny_encoder_of_every_supported_architecture() -> None:
    assert set(ENCODERS) == set(ARCHITECTURES)


def documented() -> dict[str, list[str]]:
    """The rows of the page's first table, by architecture: positions, types, pooler, prefix."""
    text = PAGE.partition("<!-- table:begin -->")[0]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    return {row[0].strip("`"): row[1:] for row in rows if row[0] != "`model_type`"}


def first_position_told(positions: str, padding: int) -> int:
    if positions == "after the padding token's":
        return padding + 1
    number = re.search(r"from (\d)", positions)
    return int(number[1]) if number else 0


def test_the_page_describes_every_architecture_and_no_other() -> None:
    assert list(documented()) == sorted(ARCHITECTURES)


def test_the_page_tells_positions_token_types_and_pooler_as_they_are(subject: Subject) -> None:
    positions, types, pooler = documented()[subject.name][:3]
    backbone = subject.backbone

    config = backbone.model.config
    first = backbone.architecture.first_position(config)
    assert first == first_position_told(positions, config.pad_token_id)
    assert (positions == "rotary") == (subject.name in ROTARY)
    has_types = "token_type_ids" in inspect.signature(backbone.model.forward).parameters
    assert has_types == (types != "none")
    assert pooler == ("no" if subject.name in WITHOUT_POOLER else "yes")


def test_texts_without_prefix_get_what_plain_transformers_gives_them(subject: Subject) -> None:
    rows = [subject.backbone.row(text) for text in texts_of(subject)]
    plain = subject.plain(attn_implementation="eager")

    together = run(subject.backbone, rows, subject.backbone.empty_pool(1))

    with torch.no_grad():
        alone = [plain(**plain_inputs(plain, row)).last_hidden_state[0] for row in rows]
    assert largest_difference(together, alone) < 1e-5


def test_texts_after_prefixes_get_what_an_attention_of_explicit_loops_gives_them(
    subject: Subject,
) -> None:
    if subject.name in OWN_ATTENTION:
        pytest.skip("held against a specification of its own")
    pool, rows = make_pool(subject.backbone), mixed_rows(subject)[:5]
    slow = load_slow(subject.folder)

    together = run(subject.backbone, rows, pool)

    alone = [
        run_one(slow, plain_inputs(slow, row, with_positions=True), pool[:, :, list(row.slots)])
        for row in rows
    ]
    assert largest_difference(together, alone) < 1e-5


def test_texts_after_prefixes_get_what_past_key_values_give_them(subject: Subject) -> None:
    if subject.name not in TAKES_PAST:
        pytest.skip("plain transformers takes no past_key_values here")
    pool = make_pool(subject.backbone)
    rows = [row for row in mixed_rows(subject) if row.slots]
    plain = subject.plain()

    together = run(subject.backbone, rows, pool)

    alone = []
    for row in rows:
        keys, values = pool[:, :, list(row.slots)].transpose(2, 3).unbind(1)  # (L, H, P, D)
        texts = [(row.token_ids, row.token_type_ids)]
        alone += run_with_past(plain, texts, keys, values, first_position=row.first_position)
    assert largest_difference(together, alone) < 1e-5


def test_a_mixed_batch_gives_every_text_what_it_gets_alone(subject: Subject) -> None:
    pool, rows = make_pool(subject.backbone), mixed_rows(subject)

    together = run(subject.backbone, rows, pool)

    alone = [run(subject.backbone, [row], pool)[0] for row in rows]
    assert largest_difference(together, alone) < 1e-5


def test_an_offset_shifts_absolute_positions_and_turns_rotary_ones_together(
    subject: Subject,
) -> None:
    if subject.name in OWN_ATTENTION:
        pytest.skip("held against a specification of its own")
    text, pool = text_of(subject, 12), make_pool(subject.backbone)

    def shift_by_eight(slots: tuple[int, ...]) -> float:
        rows = [
            subject.backbone.row(text, position_offset=offset, slots=slots) for offset in (0, 8)
        ]
        some, others = (run(subject.backbone, [row], pool) for row in rows)
        return largest_difference(some, others)

    assert shift_by_eight((0, 1, 2)) > 1e-3  # a prefix has a place, seen from the text
    if subject.name in ROTARY:
        assert shift_by_eight(()) < 1e-5  # only distances count
    else:
        assert shift_by_eight(()) > 1e-3


def test_a_text_may_use_the_last_position(subject: Subject) -> None:
    facts = subject.backbone.fingerprint
    row = subject.backbone.row(text_of(subject, 12), position_offset=facts.max_positions - 12)

    (hidden,) = run(subject.backbone, [row], make_pool(subject.backbone))

    assert hidden.isfinite().all()
    assert row.first_position + 12 == subject.backbone.model.config.max_position_embeddings


def inputs_of(
    backbone: Backbone, rows: list[Row], **changes: Any
) -> tuple[PackedBatch, ModelInputs]:
    packed = backbone.pack(rows)
    return packed, ModelInputs(
        packed.token_ids, packed.token_type_ids, packed.position_ids, **changes
    )


@torch.no_grad()
def test_bare_word_embeddings_give_the_same_as_their_tokens(subject: Subject) -> None:
    backbone, pool, rows = subject.backbone, make_pool(subject.backbone), mixed_rows(subject)
    packed, _ = inputs_of(backbone, rows)
    words = backbone.model.get_input_embeddings()(packed.token_ids)
    _, inputs = inputs_of(backbone, rows, embeddings=words)

    hidden = backbone.architecture.forward(backbone.model, inputs, PrefixedCall(packed, pool))

    facts = backbone.fingerprint
    assert words.shape[2] == (facts.embedding_size or facts.hidden_size)
    assert torch.equal(packed.in_callers_order(hidden), backbone(packed, pool))


@torch.no_grad()
def test_embedded_tokens_are_what_the_plain_model_makes_of_them(subject: Subject) -> None:
    backbone, row = subject.backbone, subject.backbone.row(text_of(subject, 12))
    _, inputs = inputs_of(backbone, [row])
    plain, seen = subject.plain(), []
    module = getattr(plain, "embeddings", plain.get_input_embeddings())
    module.register_forward_hook(lambda _module, _inputs, output: seen.append(output))

    embedded = backbone.architecture.embed(
        backbone.model, inputs.token_ids, inputs.token_type_ids, inputs.position_ids
    )

    plain(**plain_inputs(plain, row))
    (expected,) = seen
    expected = expected[0] if isinstance(expected, tuple) else expected
    torch.testing.assert_close(embedded, expected, atol=1e-6, rtol=0)


def test_keys_and_values_of_tokens_are_a_prefix_that_stands_for_them(subject: Subject) -> None:
    backbone, text = subject.backbone, text_of(subject, 6)
    facts = backbone.fingerprint
    whole = backbone.pack([backbone.row(text)])

    recorded = backbone.keys_and_values(whole)

    assert recorded.shape == (facts.num_layers, 2, 6, facts.num_heads, facts.head_size)
    if subject.name not in OWN_ATTENTION:  # there, tokens of a prefix lose their distance
        last = EncodedText(text.token_ids[-1:], text.token_type_ids[-1:])
        row = backbone.row(last, position_offset=5, slots=tuple(range(5)))
        (after,) = run(backbone, [row], recorded[:, :, :5].contiguous())
        (expected,) = run(backbone, [backbone.row(text)], backbone.empty_pool(1))
        torch.testing.assert_close(after[0], expected[-1], atol=1e-5, rtol=0)


def test_the_pooler_gives_what_the_plain_model_pools(subject: Subject) -> None:
    backbone, row = subject.backbone, subject.backbone.row(text_of(subject, 12))
    if subject.name in WITHOUT_POOLER:
        assert backbone.pooler is None
        assert not backbone.fingerprint.has_pooler
        return
    plain = subject.plain()
    assert backbone.pooler is not None

    (hidden,) = run(backbone, [row], backbone.empty_pool(1))

    with torch.no_grad():
        expected = plain(**plain_inputs(plain, row)).pooler_output
        torch.testing.assert_close(backbone.pooler(hidden[None, :1]), expected, atol=1e-5, rtol=0)


def test_bfloat16_is_as_near_to_float32_as_plain_transformers_comes(subject: Subject) -> None:
    if subject.name == "deberta":
        pytest.skip("plain transformers cannot run it in bfloat16")
    rows = [subject.backbone.row(text_of(subject, 250))]
    attention = Kernels(attention=subject.backbone.kernels.attention)
    small = load_with(attention, subject.folder, dtype="bfloat16")
    plain = subject.plain(dtype=torch.bfloat16)
    (exact,) = run(subject.backbone, rows, subject.backbone.empty_pool(1))

    (hidden,) = run(small, rows, small.empty_pool(1))

    with torch.no_grad():
        expected = plain(**plain_inputs(plain, rows[0])).last_hidden_state[0]
    allowed = 1.5 * float((expected.float() - exact).square().mean())
    assert float((hidden.float() - exact).square().mean()) < allowed


def test_bfloat16_rounds_weights_and_no_table_of_positions(subject: Subject) -> None:
    small = load_backbone(subject.folder, device="cpu", dtype="bfloat16")
    plain = subject.plain(dtype=torch.bfloat16)

    tables, expected = (dict(model.named_buffers()) for model in (small.model, plain))

    # At a position of some thousands, a rounded frequency would turn by whole circles.
    assert tables.keys() == expected.keys()
    for name, table in tables.items():
        torch.testing.assert_close(table, expected[name], atol=0, rtol=0)
    assert {weight.dtype for weight in small.model.parameters()} == {torch.bfloat16}


def random_vectors(backbone: Backbone, seed: int, num_pairs: int) -> Tensor:
    """Random vectors `[2 * num_pairs, L, norm, hidden]`. ALBERT's layers share their norms."""
    facts = backbone.fingerprint
    generator = torch.Generator().manual_seed(seed)
    shape = (2 * num_pairs, facts.num_layers, 2, facts.hidden_size)
    vectors = torch.randn(shape, generator=generator)
    return vectors[:, :1].expand_as(vectors) if facts.model_type == "albert" else vectors


def vectors_of(backbone: Backbone, seed: int) -> Tensor:
    """Random scales and shifts, those that norms with other weights can have.

    ModernBERT's first layer lacks the first norm.
    """
    facts = backbone.fingerprint
    vectors = 0.3 * random_vectors(backbone, seed, 1)
    if facts.model_type == "modernbert":
        vectors[:, 0, 0] = 0.0
    if facts.model_type in WITHOUT_SHIFTS:
        vectors[1] = 0.0
    return vectors


def retuned(subject: Subject, vectors: Tensor) -> Any:
    """Return the plain model with norms whose weights were scaled and shifted."""
    plain = subject.plain(attn_implementation="eager")
    for norm, name in enumerate(ARCHITECTURES[subject.name].norms):
        places = re.compile(rf"(?:.*\.)?(\d+)\.{re.escape(name)}")
        for path, module in plain.named_modules():
            match = places.fullmatch(path)
            if match and hasattr(module, "weight"):
                scales, shifts = vectors[:, int(match[1]), norm]
                module.weight.data *= 1 + scales
                if getattr(module, "bias", None) is not None:
                    module.bias.data = module.bias.data * (1 + scales) + shifts
    return plain


def slots_with(backbone: Backbone, pool: Tensor, vectors: Tensor, first: int) -> tuple[int, ...]:
    """Copy vectors `[n, L, 2, hidden]` to slots of a pool, from `first` on."""
    each = vectors.permute(1, 2, 0, 3).reshape(*pool.shape[:2], -1, *pool.shape[3:])
    slots = range(first, first + each.shape[2])
    pool[:, :, list(slots)] = each.to(pool)
    return tuple(slots)


@torch.no_grad()
def in_turn(models: Sequence[Any], rows: Sequence[Row]) -> list[Tensor]:
    """Run each row alone through the models in turn."""
    return [
        model(**plain_inputs(model, row)).last_hidden_state[0]
        for model, row in zip(cycle(models), rows, strict=False)
    ]


def test_vectors_change_texts_as_norms_with_other_weights_do(subject: Subject) -> None:
    backbone = subject.backbone
    pool = make_pool(backbone)
    vectors = [vectors_of(backbone, seed) for seed in (1, 2)]
    slots = [slots_with(backbone, pool, one, 10 * n) for n, one in enumerate(vectors)]
    texts = texts_of(subject)
    rows = [backbone.row(text, vectors=slots[n % 2]) for n, text in enumerate(texts)]

    together = run(backbone, rows, pool)

    alone = in_turn([retuned(subject, one) for one in vectors], rows)
    assert largest_difference(together, alone) < 2e-5


def updated(subject: Subject, vectors: Tensor) -> Any:
    """Return the plain model with norms that return `y (1 + s) + t + U D y` in place of y."""

    def change(_module: nn.Module, _inputs: Any, y: Tensor, own: Tensor) -> Tensor:
        (scales, *down), (shifts, *up) = own.view(2, len(own) // 2, -1)
        changed: Tensor = y * (1 + scales) + shifts + y @ torch.stack(down).T @ torch.stack(up)
        return changed

    plain = subject.plain(attn_implementation="eager")
    for norm, name in enumerate(ARCHITECTURES[subject.name].norms):
        places = re.compile(rf"(?:.*\.)?(\d+)\.{re.escape(name)}")
        for path, module in plain.named_modules():
            if match := places.fullmatch(path):
                own = vectors[:, int(match[1]), norm]
                module.register_forward_hook(functools.partial(change, own=own))
    return plain


def test_low_rank_updates_change_texts_as_those_of_the_formula(subject: Subject) -> None:
    backbone, rank = subject.backbone, 2
    pool = make_pool(backbone)
    factors = torch.tensor([0.3, *[backbone.fingerprint.hidden_size**-0.5] * rank, *[0.3] * 3])
    vectors = [
        factors[:, None, None, None] * random_vectors(backbone, seed, 1 + rank) for seed in (1, 2)
    ]
    slots = [slots_with(backbone, pool, one, 20 * n) for n, one in enumerate(vectors)]
    texts = texts_of(subject)
    rows = [backbone.row(text, vectors=slots[n % 2], rank=rank) for n, text in enumerate(texts)]

    together = run(backbone, rows, pool)

    alone = in_turn([updated(subject, one) for one in vectors], rows)
    assert largest_difference(together, alone) < 2e-5


def test_vectors_leave_other_rows_of_a_batch_as_they_are(subject: Subject) -> None:
    backbone = subject.backbone
    pool = make_pool(backbone)
    plain = mixed_rows(subject)
    slots = slots_with(backbone, pool, vectors_of(backbone, 1), 36)
    changed = [backbone.row(text, vectors=slots) for text in texts_of(subject)]
    rows = [row if n % 3 else changed[n] for n, row in enumerate(plain)]

    together = run(backbone, rows, pool)

    alone = [run(backbone, [row], pool)[0] for row in rows]
    assert largest_difference(together, alone) < 1e-5
    before = run(backbone, plain, pool)
    assert largest_difference(together[:1], before[:1]) > 1e-2
