"""Import of prefix-tuning adapters of the PEFT library.

PEFT folds the projection itself when it saves. Source: PEFT, `PeftModelForSequenceClassification`
and its siblings, and `get_peft_model_state_dict`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from prefixes.backbone import Backbone
from prefixes.interop.assembly import ForeignPrefix, ImportOptions, assemble
from prefixes.interop.claims import check_claims
from prefixes.interop.errors import ConversionRefused
from prefixes.interop.flat import keys_and_values
from prefixes.interop.folder import read_settings, read_tensors
from prefixes.interop.heads import recognize_head, take
from prefixes.interop.peft_format import (
    CONFIG_FILE,
    MODEL_TYPES,
    PREFIX_TENSOR,
    TASK_TYPES,
    WEIGHTS_FILE,
    drops_token_types,
)
from prefixes.interop.report import ImportedPrefix, Notes
from prefixes.spec import TaskType

_FILES: Final = (WEIGHTS_FILE, "adapter_model.bin")


def import_peft(folder: Path, backbone: Backbone, options: ImportOptions) -> ImportedPrefix:
    """Convert an adapter folder: `adapter_config.json` with `adapter_model.safetensors`.

    Raises:
        ConversionRefused: when the folder has another type of adapter, or one for a backbone of
            another shape.
        PrefixRejected: when its tensors are not valid in a prefix file.
    """
    config = read_settings(folder, CONFIG_FILE)
    task_type = _check_config(config, backbone)
    tensors = read_tensors(folder, _FILES)
    flat = take(tensors, PREFIX_TENSOR).float()
    head = {
        name.removeprefix("base_model.").removeprefix("model."): tensor
        for name, tensor in tensors.items()
        if name != PREFIX_TENSOR
    }
    _refuse_other_modules(head)
    own = keys_and_values(flat, backbone.fingerprint)
    _check_sizes(config, len(flat), backbone)
    notes = Notes([f"A prefix of {len(flat)} positions for {task_type}, and its head."])
    _note_folding(config, notes)
    _note_base_model(config, backbone, notes)
    drops_types = drops_token_types(task_type, backbone)
    if drops_types:
        notes.found.append(
            "PEFT's question answering ignores token types, and so will this prefix."
        )
    foreign = ForeignPrefix(
        tool="polyprefix import peft",
        task_type=task_type,
        tensors=own,
        prefix_length=len(flat),
        position_offset=len(flat),  # transformers counts positions from the end of past_key_values
        head=recognize_head(head, task_type, backbone),
        token_types=not drops_types,
        recipe={"peft_version": str(config.get("peft_version"))[:40]},
    )
    return assemble(backbone, foreign, options, notes)


def _check_config(config: Mapping[str, Any], backbone: Backbone) -> TaskType:
    kind, task = str(config.get("peft_type")), str(config.get("task_type"))
    if kind != "PREFIX_TUNING":
        raise ConversionRefused(
            f"{CONFIG_FILE} has peft_type {kind[:60]}: expected PREFIX_TUNING, the only type "
            "that can become a prefix"
        )
    if task not in TASK_TYPES:
        raise ConversionRefused(
            f"{CONFIG_FILE} has task_type {task[:60]}: expected one of {', '.join(TASK_TYPES)}"
        )
    model_type = backbone.fingerprint.model_type
    if model_type not in MODEL_TYPES:
        raise ConversionRefused(
            f"PEFT does not apply prefixes to {model_type}: expected a backbone of one of "
            f"{', '.join(sorted(MODEL_TYPES))}"
        )
    return TASK_TYPES[task]


def _check_sizes(config: Mapping[str, Any], length: int, backbone: Backbone) -> None:
    facts = backbone.fingerprint
    sizes = {
        "num_virtual_tokens": length,
        "num_layers": facts.num_layers,
        "num_attention_heads": facts.num_heads,
        "token_dim": facts.num_heads * facts.head_size,
        "num_transformer_submodules": 1,
    }
    check_claims(CONFIG_FILE, config, sizes)


def _refuse_other_modules(head: Mapping[str, Tensor]) -> None:
    foreign = sorted(
        name
        for name in head
        if not name.startswith(("classifier.", "qa_outputs.")) or ".original_module." in name
    )
    if foreign:
        raise ConversionRefused(
            f"The adapter has {len(foreign)} tensors in addition to prefix and head, the first is "
            f"{foreign[0][:200]}: expected an adapter that trains nothing else"
        )


def _note_folding(config: Mapping[str, Any], notes: Notes) -> None:
    if config.get("prefix_projection"):
        notes.folded.append("The projection, which PEFT folded when it saved the adapter.")


def _note_base_model(config: Mapping[str, Any], backbone: Backbone, notes: Notes) -> None:
    name = config.get("base_model_name_or_path")
    notes.lost.append(
        "Proof of the backbone: the adapter names "
        f"{str(name)[:200]!r} but has none of its weights; {backbone.fingerprint.name} is assumed."
    )
