"""Export of prefixes as adapters of the PEFT library."""

import json
from pathlib import Path
from typing import Any, Final

import safetensors.torch
import torch

from prefixes.atomic import atomic_file
from prefixes.backbone import Backbone
from prefixes.interop.errors import ConversionRefused
from prefixes.interop.flat import flat_of
from prefixes.interop.heads import DENSE_ACTIVATIONS, output_name
from prefixes.interop.peft_format import (
    CONFIG_FILE,
    MODEL_TYPES,
    PREFIX_TENSOR,
    TASK_TYPES,
    WEIGHTS_FILE,
    drops_token_types,
)
from prefixes.prefix import Prefix
from prefixes.spec import HeadSpec, PrefixSpec, traits_of

_AUTO: Final = {
    "SEQ_CLS": "AutoModelForSequenceClassification",
    "TOKEN_CLS": "AutoModelForTokenClassification",
    "QUESTION_ANS": "AutoModelForQuestionAnswering",
}


def export_peft(prefix: Prefix, folder: Path, backbone: Backbone) -> tuple[str, ...]:
    """Write a prefix as an adapter that gives the same logits in PEFT.

    Returns:
        Two texts: how to load the adapter, and what it cannot store.

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
    weights = safetensors.torch.save({PREFIX_TENSOR: flat, **head}, metadata={"format": "pt"})
    config = json.dumps(_config(spec, task), indent=2) + "\n"
    with (
        atomic_file(folder / WEIGHTS_FILE) as tensors_file,
        atomic_file(folder / CONFIG_FILE) as file,
    ):
        tensors_file.write(weights)
        file.write(config.encode())
    loading = (
        f"To load it: model = {_AUTO[task]}.from_pretrained(BACKBONE, num_labels="
        f"{spec.num_outputs}), then PeftModel.from_pretrained(model, {str(folder)!r})."
    )
    missing = (
        f"A PEFT adapter cannot store the labels ({', '.join(spec.labels) or 'none'}), the "
        f"template ({spec.input.text}, {spec.input.text_pair}), the maximum length of "
        f"{spec.max_length} tokens, thresholds, rejection rules, golden examples and metrics."
    )
    if spec.special_tokens == "text":
        missing += (
            " The training tokenized special tokens in texts as ordinary text: call the tokenizer "
            "with split_special_tokens=True."
        )
    return loading, missing


def _expressible(spec: PrefixSpec, backbone: Backbone) -> str:
    """Return PEFT's name of the task type, or reject a prefix that PEFT cannot express."""
    if spec.backbone.differences(backbone.fingerprint):
        raise ConversionRefused(
            f"The prefix was not trained on {backbone.fingerprint.name}: give its own backbone"
        )
    model_type = spec.backbone.model_type
    tasks = [name for name, ours in TASK_TYPES.items() if ours == spec.task_type]
    reasons = {
        f"PEFT does not apply prefixes to {model_type}": model_type not in MODEL_TYPES,
        "it is a shallow prompt, which P-tuning v2 embeds twice and PEFT once": (
            spec.method == "prompt"
        ),
        "it has vectors, which PEFT does not read: train with method prefix": (
            spec.method == "vectors"
        ),
        "it is a head without a prefix, which PEFT does not support": (spec.method == "head"),
        f"PEFT does not support the task type {spec.task_type}": not tasks,
        f"its texts start at position {spec.position_offset}, PEFT's at {spec.prefix_length}": (
            spec.position_offset != spec.prefix_length
        ),
        "PEFT's question answering ignores token types": (
            spec.token_types and drops_token_types(spec.task_type, backbone)
        ),
        "it runs without token types, which PEFT uses": (
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
    """Return the head of transformers' model for the task type."""
    if traits_of(spec.task_type).is_per_token:
        return HeadSpec(pooling="every_token")
    activation = DENSE_ACTIVATIONS.get(spec.backbone.model_type)
    if activation is None:
        return HeadSpec(pooling="pooler")
    return HeadSpec(pooling="first_token", activation=activation)


def _head_names(spec: PrefixSpec) -> dict[str, str]:
    """Return the names of the head's layers in transformers' model for the task type."""
    if spec.head.activation is None:
        return {"output": output_name(spec.task_type)}
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
