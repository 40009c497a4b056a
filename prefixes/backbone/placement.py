"""Placement of a loaded model: its device, number type, quantization and kernels."""

from typing import Any

import torch
from transformers import PreTrainedModel

from prefixes.backbone.kernels.attention import AttentionSizes, attention_contest, library_fact
from prefixes.backbone.kernels.chooser import KernelChooser
from prefixes.backbone.kernels.linear import int8_contest, is_worth_measuring, linear_contest
from prefixes.backbone.kernels.names import AUTO, ONEDNN, TORCH, Kernels
from prefixes.backbone.kernels.packed_linear import pack_linear_layers
from prefixes.backbone.kernels.quantized_linear import check_arithmetic, quantize_encoder
from prefixes.backbone.precision import DTYPES, dtype_contest, dtype_name


def place_model(
    model: PreTrainedModel,
    chooser: KernelChooser,
    dtype: str,
    quantize: str | None,
    *,
    to_train: bool,
) -> torch.dtype:
    """Freeze a model, move it to its device and convert or quantize it.

    Returns the number type of what is not quantized.
    """
    model.requires_grad_(requires_grad=False).eval().to(chooser.device)
    if quantize:
        precision = torch.float32
    elif dtype == AUTO:
        contest = dtype_contest(model, chooser.device, to_train=to_train)
        precision = DTYPES[chooser.choose(contest, AUTO)]
    else:
        precision = DTYPES[dtype]
    # Only parameters: the tables of rotary positions are buffers, which need float32.
    for parameter in model.parameters():
        parameter.data = parameter.data.to(precision)
    if quantize:
        quantize_encoder(model, _int8_kernel(model, chooser))
    return precision


def _int8_kernel(model: PreTrainedModel, chooser: KernelChooser) -> str:
    """Choose the kernel of int8 layers. All kernels add the same integers."""
    check_arithmetic(ONEDNN)  # reports the reason if this machine has no int8 layers at all
    if not is_worth_measuring(model):
        return ONEDNN
    return chooser.choose(int8_contest(model), AUTO, library=library_fact())


def choose_kernels(
    model: PreTrainedModel,
    chooser: KernelChooser,
    requested: Kernels,
    *,
    scores_distances: bool,
    to_train: bool,
) -> Kernels:
    """Choose the kernels of a model, and replace its linear layers."""
    precision = dtype_name(model.dtype)
    linear, attention = requested.linear, requested.attention
    if not is_worth_measuring(model):
        linear, attention = (TORCH if name == AUTO else name for name in (linear, attention))
    if linear != TORCH:
        contest = linear_contest(model, chooser.device, to_train=to_train)
        linear = chooser.choose(contest, linear, dtype=precision)
    if linear == ONEDNN:
        pack_linear_layers(model)
    if attention != TORCH:
        contest = attention_contest(
            attention_sizes(model.config),
            chooser.device,
            model.dtype,
            scores_distances=scores_distances,
            to_train=to_train,
        )
        attention = chooser.choose(contest, attention, dtype=precision, library=library_fact())
    return Kernels(linear, attention)


def attention_sizes(config: Any) -> AttentionSizes:
    num_heads = config.num_attention_heads
    return AttentionSizes(
        num_heads=num_heads,
        key_heads=getattr(config, "num_key_value_heads", None) or num_heads,
        head_size=getattr(config, "head_dim", None) or config.hidden_size // num_heads,
    )
