"""Comparison of the frozen weights in a checkpoint of P-tuning v2 with those of a backbone."""

from typing import Final

import torch
from torch import Tensor

from prefixes.backbone import Backbone
from prefixes.interop.errors import ConversionRefused
from prefixes.interop.folder import Tensors
from prefixes.interop.ptuning_v2_classes import OriginalClass
from prefixes.interop.report import Notes

_BUFFERS: Final = ("embeddings.position_ids", "embeddings.token_type_ids")
"""Constants that transformers 4 saved among the weights."""

_DTYPES: Final = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def check_frozen_weights(
    origin: OriginalClass, tensors: Tensors, backbone: Backbone, notes: Notes
) -> None:
    """Compare the frozen weights in a checkpoint, if it has any, with those of the backbone.

    The pooler is compared with the head, which may have its own.

    Raises:
        ConversionRefused: when they differ.
    """
    facts = backbone.fingerprint
    if facts.model_type != origin.model_type:
        raise ConversionRefused(
            f"The checkpoint was trained on {origin.model_type}: the backbone {facts.name} is "
            f"{facts.model_type}"
        )
    theirs = {
        name.removeprefix(origin.scope): tensor
        for name, tensor in tensors.items()
        if name.startswith(origin.scope) and ".pooler." not in name
    }
    if not theirs:
        notes.lost.append(
            "Proof of the backbone: the checkpoint has only the prefix and its head; "
            f"{facts.name} is assumed."
        )
        return
    ours = {
        name: tensor
        for name, tensor in backbone.model.state_dict().items()
        if not name.startswith("pooler.") and name not in _BUFFERS
    }
    differing = sorted(name for name, x in ours.items() if not _equal(theirs.get(name), x))
    unknown = sorted(theirs.keys() - ours.keys() - set(_BUFFERS))
    if differing or unknown:
        raise ConversionRefused(
            f"The checkpoint was trained on another backbone: {len(differing)} of {len(ours)} "
            f"tensors differ from {facts.name}, and {len(unknown)} are not in it; the first is "
            f"{(differing or unknown)[0]}. Load the backbone of the training."
        )
    dtypes = {str(theirs[name].dtype).removeprefix("torch.") for name in ours}
    notes.found.append(
        f"All {len(ours)} frozen tensors equal those of {facts.name}, compared in the types of the "
        f"checkpoint: {', '.join(sorted(dtypes))}."
    )


def _equal(theirs: Tensor | None, ours: Tensor) -> bool:
    """Compare two tensors in the coarser of their types, because one may have been rounded."""
    if theirs is None or theirs.shape != ours.shape or theirs.dtype not in _DTYPES:
        return False
    coarser = min(theirs.dtype, ours.dtype, key=lambda dtype: dtype.itemsize)
    return torch.equal(theirs.to(coarser), ours.cpu().to(coarser))


def has_own_pooler(tensors: Tensors, source: str, backbone: Backbone) -> bool:
    """Say whether a checkpoint's pooler equals the backbone's."""
    if not backbone.fingerprint.has_pooler:
        return False
    state = backbone.model.state_dict()
    return all(
        _equal(tensors.get(f"{source}.{part}"), state[f"pooler.dense.{part}"])
        for part in ("weight", "bias")
    )
