"""Import of prefix-tuning adapters of AdapterHub's `adapters` library.

Texts keep their positions: AdapterHub adds its keys and values inside the attention, which does not
affect the backbone's embeddings. Source: adapters, `methods/prefix_tuning.py`.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from prefixes.backbone import Backbone
from prefixes.interop.adapterhub_heads import HEAD_CONFIG, adapterhub_head
from prefixes.interop.assembly import ForeignPrefix, ImportOptions, assemble
from prefixes.interop.claims import check_claims
from prefixes.interop.errors import ConversionRefused
from prefixes.interop.flat import Projection, keys_and_values
from prefixes.interop.folder import Tensors, has_any, read_settings, read_tensors
from prefixes.interop.heads import take
from prefixes.interop.report import ImportedPrefix, Notes
from prefixes.spec import MAX_PREFIX_LENGTH

MODEL_TYPES: Final = frozenset(
    {"albert", "bert", "deberta-v2", "distilbert", "electra", "roberta", "xlm-roberta"}
)
"""Architectures whose outputs were compared with AdapterHub's. DeBERTa v1 is excluded:
`adapters.init` changes its outputs even without an adapter (adapters 1.3.0)."""

_CONFIG: Final = "adapter_config.json"
_FILES: Final = ("adapter.safetensors", "pytorch_adapter.bin")
_HEAD_FILES: Final = ("model_head.safetensors", "pytorch_model_head.bin")

_TENSOR: Final = re.compile(
    r"(?:.*\.)?prefix_tuning(?:\.pool)?\.prefix_tunings\.([^.]+)\.(\w+)\.(.+)"
)
"""The tensors of the pool, which every layer repeats: adapter, location, name."""


def import_adapterhub(folder: Path, backbone: Backbone, options: ImportOptions) -> ImportedPrefix:
    """Convert a folder that `save_adapter(..., with_head=True)` wrote.

    It holds `adapter_config.json`, `head_config.json`, and the weights of both.

    Raises:
        ConversionRefused: when the folder has another type of adapter, or no head.
        PrefixRejected: when its tensors are not valid in a prefix file.
    """
    config = read_settings(folder, _CONFIG)
    tuning = _check_config(config, backbone)
    notes = Notes()
    flat = _flat(read_tensors(folder, _FILES), tuning, backbone, notes)
    check_claims(_CONFIG, tuning, {"prefix_length": len(flat)})
    check_claims(_CONFIG, config, {"hidden_size": backbone.fingerprint.hidden_size})
    if not has_any(folder, (HEAD_CONFIG,)):
        raise ConversionRefused(
            f"The folder {str(folder)!r} has no head: save the adapter with with_head=True"
        )
    head = adapterhub_head(
        read_settings(folder, HEAD_CONFIG), read_tensors(folder, _HEAD_FILES), backbone
    )
    notes.found.append(f"A prefix of {len(flat)} positions for {head.task_type}, and its head.")
    notes.lost.append(
        f"Proof of the backbone: the adapter names {str(config.get('model_name'))[:200]!r} but has "
        f"none of its weights; {backbone.fingerprint.name} is assumed."
    )
    foreign = ForeignPrefix(
        tool="polyprefix import adapterhub",
        task_type=head.task_type,
        tensors=keys_and_values(flat, backbone.fingerprint),
        prefix_length=len(flat),
        position_offset=0,
        head=head.head,
        problem_type=head.problem_type,
        labels=head.labels,
        recipe={"version": str(config.get("version"))[:40]},
    )
    return assemble(backbone, foreign, options, notes)


def _check_config(config: Mapping[str, Any], backbone: Backbone) -> Mapping[str, Any]:
    tuning = config.get("config")
    kind = tuning.get("architecture") if isinstance(tuning, dict) else type(tuning).__name__
    if not isinstance(tuning, dict) or kind != "prefix_tuning":
        raise ConversionRefused(
            f"{_CONFIG} has the architecture {str(kind)[:60]}: expected prefix_tuning, the only "
            "one that can become a prefix"
        )
    facts = backbone.fingerprint
    if config.get("model_type") != facts.model_type:
        raise ConversionRefused(
            f"The adapter was trained on {str(config.get('model_type'))[:60]}: the backbone "
            f"{facts.name} is {facts.model_type}"
        )
    if facts.model_type not in MODEL_TYPES:
        raise ConversionRefused(
            f"Adapters for {facts.model_type} are not supported, because their outputs were not "
            f"compared with AdapterHub's: expected one of {', '.join(sorted(MODEL_TYPES))}"
        )
    if tuning.get("use_gating"):
        raise ConversionRefused(
            "The adapter has gates, which weight the prefix by the text; a prefix cannot do that"
        )
    if tuning.get("leave_out"):
        raise ConversionRefused(
            f"The adapter leaves out the layers {str(tuning['leave_out'])[:60]}: expected keys and "
            "values in all layers"
        )
    return tuning


def _flat(tensors: Tensors, tuning: Mapping[str, Any], backbone: Backbone, notes: Notes) -> Tensor:
    """Read a flat prefix `[P, L * 2 * H * D]`; a projection is folded."""
    named = _pool(tensors)
    if "control_trans" in named:
        flat = _unrolled(take(named, "control_trans").float(), tuning)
    else:
        if tuning.get("non_linearity") != "tanh":
            raise ConversionRefused(
                f"The adapter's MLP has the non-linearity {str(tuning.get('non_linearity'))[:60]}: "
                "expected tanh"
            )
        projection = Projection(
            *(
                take(named, f"control_trans.{number}.{part}").float()
                for number in (0, 2)
                for part in ("weight", "bias")
            )
        )
        check_claims(_CONFIG, tuning, {"bottleneck_size": len(projection.inner_bias)})
        flat = projection.fold(take(named, "wte.weight").float())
        notes.folded.append(
            f"The MLP of bottleneck {len(projection.inner_bias)} into a flat prefix."
        )
    if backbone.fingerprint.model_type == "albert":
        # ALBERT's layers are one shared module, so AdapterHub gives it one prefix.
        flat = flat.repeat(1, backbone.fingerprint.num_layers)
        notes.folded.append("The one prefix of ALBERT's shared layer into one for each layer.")
    return flat


def _pool(tensors: Tensors) -> Tensors:
    named: dict[str, Tensor] = {}
    owners = set()
    for name, tensor in tensors.items():
        found = _TENSOR.fullmatch(name)
        if found is None:
            raise ConversionRefused(
                f"The adapter has the tensor {name[:200]!r}, which does not belong to prefix tuning"
            )
        owners.add((found[1], found[2]))
        named[found[3]] = tensor
    if len(owners) != 1:
        places = ", ".join(f"{owner}/{place}" for owner, place in sorted(owners)) or "none"
        raise ConversionRefused(f"Expected one prefix, in self-attention; found {places[:200]}")
    return named


def _unrolled(values: Tensor, tuning: Mapping[str, Any]) -> Tensor:
    length = tuning.get("prefix_length")
    if (
        not isinstance(length, int)
        or not 1 <= length <= MAX_PREFIX_LENGTH
        or values.dim() != 1
        or len(values) % length
    ):
        raise ConversionRefused(
            f"The flat prefix has shape {tuple(values.shape)}: expected equally many "
            f"numbers for each of prefix_length {str(length)[:20]} positions, at most "
            f"{MAX_PREFIX_LENGTH}"
        )
    return values.view(length, -1)
