"""Small real things for tests: backbones with random weights, and prefixes that fit them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from prefixes import (
    AnswerSpec,
    BackboneFingerprint,
    GoldenExample,
    HeadSpec,
    InputTemplate,
    Prefix,
    PrefixSpec,
)
from prefixes.backbone import Backbone, EncodedText, pool_of, run_mixed
from prefixes.checks import expected_shapes
from prefixes.lengths import LengthOptions
from prefixes.spec import Decisions, Rejection, Vectors
from prefixes.template import InputFields
from tests.encoders import make_encoder

WORDS = [
    "a",
    "the",
    "this",
    "that",
    "it",
    "is",
    "was",
    "not",
    "very",
    "good",
    "bad",
    "great",
    "poor",
    "film",
    "plot",
    "card",
    "money",
    "lost",
    "late",
    "train",
    "what",
    "who",
    "where",
    "when",
    "how",
    "why",
    "many",
    "city",
    "river",
    "book",
    "call",
    "now",
    "win",
    "prize",
    "free",
    "hello",
    "my",
    "your",
    "and",
]
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def make_backbone_folder(folder: Path, architecture: str = "bert", *, seed: int = 0) -> Path:
    """Save a tiny random encoder with a word-piece tokenizer, as `save_pretrained` lays it out."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    pieces = [*SPECIALS, *WORDS, *letters, *(f"##{x}" for x in letters), ".", ",", "!", "?"]
    vocab = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    torch.manual_seed(seed)
    model = make_encoder(architecture, len(vocab))
    shake(model)
    model.save_pretrained(folder)
    # Some tokenizers number the parts of a pair though their model does not look at it.
    has_types = getattr(model.config, "type_vocab_size", 0) != 1
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1" if has_types else "[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    ).save_pretrained(folder)
    return folder


def shake(model: torch.nn.Module) -> None:
    """Replace the timid initial weights, so that a mistake in the forward pass shows."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            is_norm = "norm" in name.lower()  # LayerNorm, layer_norm, final_norm, ...
            spread = 0.3 if is_norm or "bias" in name else 1.0 / parameter.shape[-1] ** 0.5
            center = 1.0 if is_norm and name.endswith("weight") else 0.0
            parameter.normal_(center, spread)


TASKS: dict[str, dict[str, Any]] = {
    "sequence_classification": {
        "problem_type": "single_label_classification",
        "labels": ("bad", "good"),
    },
    "multiple_choice": {
        "input": InputTemplate(text="{premise}", text_pair="{choice}"),
    },
    "token_classification": {
        "labels": ("O", "B-thing", "I-thing"),
        "head": HeadSpec(pooling="every_token"),
    },
    "question_answering": {
        "input": InputTemplate(text="{question}", text_pair="{context}"),
        "head": HeadSpec(pooling="every_token"),
        "answers": AnswerSpec(stride=4),
    },
    "embedding": {"head": HeadSpec(pooling="mean", normalize=True)},
}
"""The fields that each task type needs in addition to those of all task types."""


def make_spec(backbone: BackboneFingerprint, **changes: Any) -> PrefixSpec:
    """Describe a task of prefix length 4, of two labels unless it is of another type."""
    method = changes.get("method", "prefix")
    length = changes.get("prefix_length", 0 if method in {"head", "vectors"} else 4)
    fields: dict[str, Any] = {
        "prefix_length": length,
        "position_offset": length if method == "prefix" else 0,
        "max_length": 64,
        "head": HeadSpec(pooling="mean"),
        "backbone": backbone,
        **TASKS.get(changes.get("task_type", "sequence_classification"), {}),
    }
    return PrefixSpec(**{**fields, **changes})


def make_prefix(backbone: BackboneFingerprint, *, seed: int = 0, **changes: Any) -> Prefix:
    """Fill a described task with random tensors; `changes` go to `make_spec`."""
    spec = make_spec(backbone, **changes)
    rng = np.random.default_rng(seed)

    def tensor(*shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        return rng.normal(0, 0.5, shape).astype(np.float32)

    shapes = expected_shapes(spec)
    return Prefix(spec, {name: tensor(*shape) for name, shape in shapes.items()})


def with_tensors(prefix: Prefix, changes: Mapping[str, Any]) -> Prefix:
    """Put other tensors in the place of a prefix's own."""
    return Prefix(prefix.spec, {**prefix.tensors, **changes})


def with_rejection(prefix: Prefix, *, cutoff: float = 0.0, dimensions: int = 5) -> Prefix:
    """Add a rejection rule with random vectors to a prefix of a single-label task."""
    rng = np.random.default_rng(dimensions)
    spec = prefix.spec
    rule = Rejection(
        cutoff=cutoff,
        kept=0.95,
        projection=Vectors.of(rng.normal(size=(spec.backbone.hidden_size, dimensions))),
        centers=Vectors.of(rng.normal(size=(spec.num_labels, dimensions))),
    )
    decisions = (spec.decisions or Decisions()).model_copy(update={"rejection": rule})
    return Prefix(spec.model_copy(update={"decisions": decisions}), prefix.tensors)


def encode_each(
    backbone: Backbone, spec: PrefixSpec, inputs: Sequence[InputFields], *, truncate: bool = True
) -> list[EncodedText]:
    """Tokenize inputs of a task that runs one text for each."""
    return [
        text
        for (text,) in backbone.texts.encode(spec, inputs, lengths=LengthOptions(truncate=truncate))
    ]


def ids_of(backbone: Backbone, text: str) -> list[int]:
    """Give the ids of a text's tokens, the two special ones around it included."""
    (encoded,) = encode_each(backbone, make_spec(backbone.fingerprint), [{"text": text}])
    return list(encoded.token_ids)


def with_golden(backbone: Backbone, prefix: Prefix, texts: tuple[str, ...]) -> Prefix:
    """Add golden examples with the logits that this backbone really gives."""
    inputs = [{"text": text} for text in texts]
    pool, (resident,) = pool_of(backbone, [prefix])
    encoded = backbone.texts.encode(prefix.spec, inputs)
    golden = tuple(
        GoldenExample(
            fields=fields,
            logits=tuple(
                value
                for outputs in run_mixed(backbone, pool, [(text, resident) for text in its_texts])
                for value in outputs.flatten().tolist()
            ),
        )
        for fields, its_texts in zip(inputs, encoded, strict=True)
    )
    return Prefix(prefix.spec.model_copy(update={"golden": golden}), prefix.tensors)
