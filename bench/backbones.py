"""The measured encoders: MiniLM with its real weights, and common shapes with random weights.

Each is a folder of a classifier whose encoder is the backbone, which every contender loads. Speed
does not depend on the values of the weights.
"""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
from tokenizers import Tokenizer, processors
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    PretrainedConfig,
    RobertaConfig,
)

from prefixes.backbone.files import locate_backbone

NUM_LABELS: Final = 4

SHAPES: Final[dict[str, Callable[..., PretrainedConfig]]] = {
    "bert-base": BertConfig,
    "roberta-large": partial(
        RobertaConfig,
        vocab_size=50265,
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        intermediate_size=4096,
        max_position_embeddings=514,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
    ),
}

BACKBONES: Final = ("minilm", *SHAPES)


def make_folder(name: str, parent: Path) -> Path:
    """Save a classifier of the backbone `name` and its tokenizer in a folder under `parent`."""
    _, packaged = locate_backbone("minilm")
    folder = parent / name
    torch.manual_seed(0)
    kind: Any = AutoModelForSequenceClassification
    if name in SHAPES:
        model = kind.from_config(SHAPES[name](num_labels=NUM_LABELS))
    else:
        model = kind.from_pretrained(packaged, num_labels=NUM_LABELS)
    model.save_pretrained(folder)
    _save_tokenizer(Path(packaged), folder, has_types=model.config.type_vocab_size > 1)
    return folder


def _save_tokenizer(packaged: Path, folder: Path, *, has_types: bool) -> None:
    """Save MiniLM's tokenizer, which all backbones use, so that any transformers can read it."""
    shutil.copy(packaged / "tokenizer.json", folder)
    if not has_types:
        tokenizer = Tokenizer.from_file(str(packaged / "tokenizer.json"))
        specials = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=specials
        )
        tokenizer.save(str(folder / "tokenizer.json"))
    described = json.loads((packaged / "special_tokens_map.json").read_text(encoding="utf-8"))
    described |= {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512}
    text = json.dumps(described, indent=1)
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")
