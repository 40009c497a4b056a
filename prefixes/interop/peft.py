"""Import and export of prefix-tuning adapters of the PEFT library.

PEFT folds the projection itself when it saves. Source: PEFT, `PeftModelForSequenceClassification`
and its siblings, and `get_peft_model_state_dict`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import safetensors.torch
import torch
from torch import Tensor

from prefixes.atomic import atomic_file
from prefixes.backbone import Backbone
from prefixes.interop.claims import check_claims
from prefixes.interop.errors import ConversionRefused
from prefixes.interop.flat import flat_of, keys_and_values
from prefixes.interop.folder import read_settings, read_tensors
from prefixes.interop.heads import DENSE_ACTIVATIONS, recognise, take
from prefixes.interop.parts import Parts, Wishes, assemble
from prefixes.interop.report import Imported, Notes
from prefixes.prefix import Prefix
from prefixes.spec import HeadSpec, PrefixSpec, TaskType

_CONFIG: Final = "adapter_config.json"
_WEIGHTS: Final = "adapter_model.safetensors"
_FILES: Final = (_WEIGHTS, "adapter_model.bin")
_PREFIX: Final = "prompt_embeddings"

_TASKS: Final[dict[str, TaskType]] = {
    "SEQ_CLS": "sequence_classification",
    "TOKEN_CLS": "token_classification",
    "QUESTION_ANS": "question_answering",
}
_AUTO: Final = {
    "SEQ_CLS": "AutoModelForSequenceClassification",
    "TOKEN_CLS": "AutoModelForTokenClassification",
    "QUESTION_ANS": "AutoModelForQuestionAnswering",
}
MODEL_TYPES: Final = frozenset({*DENSE_ACTIVATIONS, "bert", "ernie"})
"""Architectures that take `past_key_values`, without which PEFT runs no prefix."""


def import_peft(folder: Path, backbone: Backbone, wishes: Wishes) -> Imported:
    """Make a prefix of an adapter: `adapter_config.json` with `adapter_model.safetensors`.

    Raises:
        ConversionRefused: when the folder holds another kind of adapter, or one for another shape
            of backbone.
        PrefixRejected: when its tensors cannot be written as a prefix file.
    """
    config = read_settings(folder, _CONFIG)
    task_type = _check_config(config, backbone)
    tensors = read_tensors(folder, _FILES)
    flat = take(tensors, _PREFIX).float()
    head = {
        name.removeprefix("base_model.").removeprefix("model."): tensor
        for name, tensor in tensors.items()
        if name != _PREFIX
    }
    _refuse_other_modules(head)
    own = keys_and_values(flat, backbone.fingerprint)
    _check_sizes(config, len(flat), backbone)
    notes = Notes([f"A prefix of {len(flat)} positions for {task_type}, and its head."])
    _note_folding(config, notes)
    _note_base_model(config, backbone, notes)
    drops_types = _drops_types(task_type, backbone)
    if drops_types:
        notes.found.append(
            "PEFT's question answering never looks at token types: served here, neither does it."
        )
    parts = Parts(
        tool="polyprefix import peft",
        task_type=task_type,
        tensors=own,
        prefix_length=len(flat),
        position_offset=len(flat),  # transformers counts positions on behind past_key_values
        head=recognise(head, task_type, backbone),
        token_types=not drops_types,
        recipe={"peft_version": str(config.get("peft_version"))[:40]},
    )
    return assemble(backbone, parts, wishes, notes)


def _check_config(config: Mapping[str, Any], backbone: Backbone) -> TaskType:
    kind, task = str(config.get("peft_type")), str(config.get("task_type"))
    if kind != "PREFIX_TUNING":
        raise ConversionRefused(
            f"{_CONFIG} has peft_type {kind[:60]}: expected PREFIX_TUNING, the only kind that "
            "becomes a prefix"
        )
    if task not in _TASKS:
        raise ConversionRefused(
            f"{_CONFIG} has task_type {task[:60]}: expected one of {', '.join(_TASKS)}"
        )
    model_type = backbone.fingerprint.model_type
    if model_type not in MODEL_TYPES:
        raise ConversionRefused(
            f"PEFT runs no prefix on {model_type}, so that nothing can be equal to it: expected a "
            f"backbone of {', '.join(sorted(MODEL_TYPES))}"
        )
    return _TASKS[task]


def _check_sizes(config: Mapping[str, Any], length: int, backbone: Backbone) -> None:
    facts = backbone.fingerprint
    sizes = {
        "num_virtual_tokens": length,
        "num_layers": facts.num_layers,
        "num_attention_heads": facts.num_heads,
        "token_dim": facts.num_heads * facts.head_size,
        "num_transformer_submodules": 1,
    }
    check_claims(_CONFIG, config, sizes)


def _drops_types(task_type: TaskType, backbone: Backbone) -> bool:
    """Say whether PEFT runs a task without the token types that its backbone tells apart.

    `PeftModelForQuestionAnswering.forward` takes them, and passes them to nobody (PEFT 0.21).
    """
    num_types = getattr(backbone.model.config, "type_vocab_size", 0)
    return task_type == "question_answering" and num_types > 1


def _refuse_other_modules(head: Mapping[str, Tensor]) -> None:
    foreign = sorted(
        name
        for name in head
        if not name.startswith(("classifier.", "qa_outputs.")) or ".original_module." in name
    )
    if foreign:
        raise ConversionRefused(
            f"The adapter holds {len(foreign)} tensors beside prefix and head, the first is "
            f"{foreign[0][:200]}: expected nothing else to be trained"
        )


def _note_folding(config: Mapping[str, Any], notes: Notes) -> None:
    if config.get("prefix_projection"):
        notes.folded.append("The projection, which PEFT had folded when it saved the adapter.")


def _note_base_model(config: Mapping[str, Any], backbone: Backbone, notes: Notes) -> None:
    name = config.get("base_model_name_or_path")
    notes.lost.append(
        "Proof of the backbone: the adapter names "
        f"{str(name)[:200]!r} and holds none of its weights; {backbone.fingerprint.name} is taken."
    )


def export_peft(prefix: Prefix, folder: Path, backbone: Backbone) -> tuple[str, ...]:
    """Write a prefix as an adapter that PEFT loads, and that gives the same logits there.

    Returns:
        Sentences: how to load it, and what PEFT has no place for.

    Raises:
        ConversionRefused: when PEFT cannot express the prefix.
        StoreUnavailable: when the folder cannot be written.
    """
    spec = prefix.spec
    task = _expressible(spec, backbone)
    tensors = {name: torch.from_numpy(x).float() for name, x in prefix.tensors.items()}
    flat = flat_of(tensors["prefix.keys"], tensors["prefix.values"])
    names = _head_names(spec)
    head = {
        f"base_model.{names[layer]}.{part}": tensors[f"head.{layer}.{part}"]
        for layer in names
        for part in ("weight", "bias")
    }
    folder.mkdir(parents=True, exist_ok=True)
    weights = safetensors.torch.save({_PREFIX: flat, **head}, metadata={"format": "pt"})
    config = json.dumps(_config(spec, task), indent=2) + "\n"
    with atomic_file(folder / _WEIGHTS) as tensors_file, atomic_file(folder / _CONFIG) as file:
        tensors_file.write(weights)
        file.write(config.encode())
    loading = (
        f"To load it: model = {_AUTO[task]}.from_pretrained(BACKBONE, num_labels="
        f"{spec.num_outputs}), then PeftModel.from_pretrained(model, {str(folder)!r})."
    )
    missing = (
        f"PEFT has no place for the labels ({', '.join(spec.labels) or 'none'}), the template "
        f"({spec.input.text}, {spec.input.text_pair}), the length of {spec.max_length} tokens, "
        "thresholds, golden examples and metrics."
    )
    if spec.special_tokens == "text":
        missing += (
            " Special tokens in a text were ordinary text in training: call the tokenizer with "
            "split_special_tokens=True."
        )
    return loading, missing


def _expressible(spec: PrefixSpec, backbone: Backbone) -> str:
    """Find PEFT's name of the task, or say why it cannot be expressed."""
    if spec.backbone.differences(backbone.fingerprint):
        raise ConversionRefused(f"The prefix is not one for {backbone.fingerprint.name}")
    model_type = spec.backbone.model_type
    tasks = [name for name, ours in _TASKS.items() if ours == spec.task_type]
    reasons = {
        f"PEFT runs no prefix on {model_type}": model_type not in MODEL_TYPES,
        "it is a shallow prompt, which the original embeds twice and PEFT once": (
            spec.method == "prompt"
        ),
        "it is a head without a prefix, which PEFT has no name for": (spec.method == "head"),
        f"PEFT has no task of the type {spec.task_type}": not tasks,
        f"its texts begin at position {spec.position_offset}, PEFT's at {spec.prefix_length}": (
            spec.position_offset != spec.prefix_length
        ),
        "PEFT's question answering never looks at token types": (
            spec.token_types and _drops_types(spec.task_type, backbone)
        ),
        "it runs without token types, which PEFT passes on": (
            not spec.token_types and spec.task_type != "question_answering"
        ),
        f"its head is not that of transformers' {model_type}: {spec.head.pooling}, activation "
        f"{spec.head.activation}": spec.head != _head_of(spec),
    }
    found = [reason for reason, holds in reasons.items() if holds]
    if found:
        raise ConversionRefused(f"PEFT cannot express this prefix: {'; '.join(found)}")
    return tasks[0]


def _head_of(spec: PrefixSpec) -> HeadSpec:
    """Tell the head that transformers' model for the task has."""
    if spec.task_type != "sequence_classification":
        return HeadSpec(pooling="every_token")
    activation = DENSE_ACTIVATIONS.get(spec.backbone.model_type)
    if activation is None:
        return HeadSpec(pooling="pooler")
    return HeadSpec(pooling="first_token", activation=activation)


def _head_names(spec: PrefixSpec) -> dict[str, str]:
    """Tell where transformers' model for the task keeps the layers of its head."""
    if spec.task_type == "question_answering":
        return {"output": "qa_outputs"}
    if spec.head.activation is None:
        return {"output": "classifier"}
    return {"dense": "classifier.dense", "output": "classifier.out_proj"}


def _config(spec: PrefixSpec, task: str) -> dict[str, Any]:
    facts = spec.backbone
    return {
        "peft_type": "PREFIX_TUNING",
        "task_type": task,
        "base_model_name_or_path": facts.name,
        "inference_mode": True,
        "num_virtual_tokens": spec.prefix_length,
        "token_dim": facts.hidden_size,
        "num_transformer_submodules": 1,
        "num_attention_heads": facts.num_heads,
        "num_layers": facts.num_layers,
        "prefix_projection": False,
        "encoder_hidden_size": facts.hidden_size,
        "modules_to_save": ["qa_outputs"] if task == "QUESTION_ANS" else ["classifier", "score"],
    }
