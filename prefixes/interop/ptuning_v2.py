"""Import of the original P-tuning v2: full models, with prefix and head among the weights.

Source: THUDM/P-tuning-v2, `model/*.py`: the classes `{Bert,Roberta,Deberta,DebertaV2}{Prefix,
Prompt}[Model]For{SequenceClassification,TokenClassification,QuestionAnswering,MultipleChoice}`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

import torch
from torch import Tensor

from prefixes.backbone import Backbone
from prefixes.interop.claims import check_claims
from prefixes.interop.errors import ConversionRefused
from prefixes.interop.flat import Projection, check_length, keys_and_values
from prefixes.interop.folder import Tensors, read_settings, read_tensors
from prefixes.interop.heads import (
    ForeignHead,
    activation_of,
    layer,
    output_layer,
    require_pooler,
    take,
)
from prefixes.interop.originals import TEMPLATES_OF
from prefixes.interop.parts import Parts, Wishes, assemble, meaningful_labels
from prefixes.interop.report import Imported, Notes
from prefixes.spec import HeadSpec, Method, ProblemType, TaskType, traits_of

_FILES: Final = ("model.safetensors", "pytorch_model.bin")
_CLASS: Final = re.compile(r"(Bert|Roberta|Deberta|DebertaV2)(Prefix|Prompt)(?:Model)?For(\w+)")
MODEL_TYPES: Final = {
    "Bert": "bert",
    "Roberta": "roberta",
    "Deberta": "deberta",
    "DebertaV2": "deberta-v2",
}
_TASKS: Final[dict[str, TaskType]] = {
    "SequenceClassification": "sequence_classification",
    "TokenClassification": "token_classification",
    "QuestionAnswering": "question_answering",
    "MultipleChoice": "multiple_choice",
}
_BUFFERS: Final = ("embeddings.position_ids", "embeddings.token_type_ids")
"""What transformers 4 wrote among the weights, and is none."""
_STORED_AS: Final = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True, slots=True)
class _Kind:
    model_type: str
    task_type: TaskType
    method: Method

    @property
    def scope(self) -> str:
        """The name that the backbone's weights begin with."""
        return "deberta." if self.model_type == "deberta-v2" else f"{self.model_type}."


def import_ptuning_v2(folder: Path, backbone: Backbone, wishes: Wishes) -> Imported:
    """Make a prefix of a checkpoint folder: `config.json` with `pytorch_model.bin`.

    Weights in `model.safetensors` are read, too.

    Raises:
        ConversionRefused: when the folder holds something else, or was trained on other weights
            than the backbone's.
        PrefixRejected: when its tensors cannot be written as a prefix file.
    """
    config = read_settings(folder, "config.json")
    tensors = read_tensors(folder, _FILES)
    kind = _kind(config, tensors)
    notes = Notes([f"A {kind.method} for {kind.task_type} on {kind.model_type}."])
    _check_backbone(kind, tensors, backbone, notes)
    length, own = _prefix(kind, tensors, backbone, notes)
    _check_config(kind, config, tensors, length, backbone)
    notes.lost.append("Dropout, the optimizer and all else that only training uses.")
    parts = Parts(
        tool="polyprefix import ptuning-v2",
        task_type=kind.task_type,
        method=kind.method,
        tensors=own,
        prefix_length=length,
        position_offset=_position_offset(kind, config, length),
        head=_head(kind, config, tensors, backbone, notes),
        problem_type=_problem_type(config),
        labels=meaningful_labels(config.get("id2label")),
        template=TEMPLATES_OF.get((str(config.get("finetuning_task")), kind.task_type)),
        recipe={"architectures": [str(name)[:100] for name in _architectures(config)[:1]]},
    )
    return assemble(backbone, parts, wishes, notes)


def _check_config(
    kind: _Kind, config: Mapping[str, Any], tensors: Tensors, length: int, backbone: Backbone
) -> None:
    facts = backbone.fingerprint
    projection = tensors.get("prefix_encoder.trans.0.weight")
    prefix: dict[str, object] = {}
    if kind.method == "prefix":
        prefix["prefix_projection"] = projection is not None
    if projection is not None:  # the original writes a size without a projection, too
        prefix["prefix_hidden_size"] = len(projection)
    sizes = {
        "model_type": kind.model_type,
        "pre_seq_len": length,
        "num_hidden_layers": facts.num_layers,
        "hidden_size": facts.hidden_size,
        "num_attention_heads": facts.num_heads,
    }
    check_claims("config.json", config, {**sizes, **prefix})


def _architectures(config: Mapping[str, Any]) -> list[Any]:
    names = config.get("architectures")
    return names if isinstance(names, list) else []


def _kind(config: Mapping[str, Any], tensors: Tensors) -> _Kind:
    """Tell the class of the original: by its name, or where that is missing by its tensors."""
    names = _architectures(config)
    if not names:
        return _kind_by_tensors(config, tensors)
    found = _CLASS.fullmatch(str(names[0]))
    if found is None or found[3] not in _TASKS:
        raise ConversionRefused(
            f"config.json names the architecture {str(names[0])[:100]!r}: expected a class of "
            "P-tuning v2 such as BertPrefixForSequenceClassification"
        )
    method: Method = "prefix" if found[2] == "Prefix" else "prompt"
    return _Kind(MODEL_TYPES[found[1]], _TASKS[found[3]], method)


def _kind_by_tensors(config: Mapping[str, Any], tensors: Tensors) -> _Kind:
    model_type = str(config.get("model_type"))
    if model_type not in MODEL_TYPES.values():
        raise ConversionRefused(
            f"config.json has model_type {model_type[:60]!r}: expected one of "
            f"{', '.join(MODEL_TYPES.values())}"
        )
    method: Method = "prompt" if "prefix_encoder.weight" in tensors else "prefix"
    if "qa_outputs.weight" in tensors:
        return _Kind(model_type, "question_answering", method)
    if not any(name.endswith("pooler.dense.weight") for name in tensors):
        if not any(".embeddings." in name for name in tensors):
            raise ConversionRefused(
                "A prefix with its head alone may be of a sequence or of a token classification: "
                "put the class's name into config.json as architectures"
            )
        return _Kind(model_type, "token_classification", method)
    if len(take(tensors, "classifier.weight")) == 1 and config.get("problem_type") != "regression":
        raise ConversionRefused(
            "A head with one output may be of a multiple choice or of a regression: put the "
            "class's name into config.json as architectures"
        )
    return _Kind(model_type, "sequence_classification", method)


def _check_backbone(kind: _Kind, tensors: Tensors, backbone: Backbone, notes: Notes) -> None:
    """Hold the frozen weights in the checkpoint, if it has any, against the backbone's.

    The pooler is looked at with the head, which may bring its own.
    """
    facts = backbone.fingerprint
    if facts.model_type != kind.model_type:
        raise ConversionRefused(
            f"The checkpoint was trained on {kind.model_type}: expected such a backbone, "
            f"{facts.name} is {facts.model_type}"
        )
    theirs = {
        name.removeprefix(kind.scope): tensor
        for name, tensor in tensors.items()
        if name.startswith(kind.scope) and ".pooler." not in name
    }
    if not theirs:
        notes.lost.append(
            "Proof of the backbone: the checkpoint holds the prefix and its head alone; "
            f"{facts.name} is taken."
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
            f"{(differing or unknown)[0]}. Load the backbone that was trained on."
        )
    dtypes = {str(theirs[name].dtype).removeprefix("torch.") for name in ours}
    notes.found.append(
        f"All {len(ours)} frozen tensors equal those of {facts.name}, as far as their type in the "
        f"checkpoint shows: {', '.join(sorted(dtypes))}."
    )


def _equal(theirs: Tensor | None, ours: Tensor) -> bool:
    """Compare two tensors in the coarser of their types, as one may have been rounded to it."""
    if theirs is None or theirs.shape != ours.shape or theirs.dtype not in _STORED_AS:
        return False
    coarser = min(theirs.dtype, ours.dtype, key=lambda dtype: dtype.itemsize)
    return torch.equal(theirs.to(coarser), ours.cpu().to(coarser))


def _prefix(
    kind: _Kind, tensors: Tensors, backbone: Backbone, notes: Notes
) -> tuple[int, dict[str, Tensor]]:
    """Read the prefix, or the prompt; returns its length and its tensors."""
    if kind.method == "prompt":
        prompt = take(tensors, "prefix_encoder.weight").float()
        return check_length(prompt, "prefix_encoder.weight"), {"prompt.embeddings": prompt}
    embeddings = take(tensors, "prefix_encoder.embedding.weight").float()
    length = check_length(embeddings, "prefix_encoder.embedding.weight")
    if "prefix_encoder.trans.0.weight" not in tensors:
        return length, keys_and_values(embeddings, backbone.fingerprint)
    projection = Projection(
        *(
            take(tensors, f"prefix_encoder.trans.{number}.{part}").float()
            for number in (0, 2)
            for part in ("weight", "bias")
        )
    )
    flat = projection.fold(embeddings)
    notes.folded.append(
        f"The projection of width {len(projection.inner_bias)} into {flat.numel()} keys and values."
    )
    return length, keys_and_values(flat, backbone.fingerprint)


def _position_offset(kind: _Kind, config: Mapping[str, Any], length: int) -> int:
    """Tell where texts begin: behind the prefix, where positions are counted at all.

    A prompt takes positions of its own. DeBERTa sees distances, which a prefix does not change,
    and positions only with `position_biased_input`, which transformers takes to be set.
    """
    if kind.method == "prompt":
        return 0
    if kind.model_type.startswith("deberta") and not config.get("position_biased_input", True):
        return 0
    return length


def _head(
    kind: _Kind, config: Mapping[str, Any], tensors: Tensors, backbone: Backbone, notes: Notes
) -> ForeignHead:
    output = output_layer(tensors, kind.task_type)
    if traits_of(kind.task_type).is_per_token:
        return ForeignHead(HeadSpec(pooling="every_token"), output)
    if kind.scope == "deberta.":
        activation = activation_of(config.get("pooler_hidden_act", "gelu"))
        notes.found.append("A trained pooler, which becomes the head's dense layer.")
        spec = HeadSpec(pooling="first_token", activation=activation)
        return ForeignHead(spec, {**layer(tensors, "pooler.dense", "dense"), **output})
    # In multiple choice the original pooled what came first: with a prompt, its first position.
    is_from_prompt = kind.method == "prompt" and kind.task_type == "multiple_choice"
    pooled_from = "prompt" if is_from_prompt else "text"
    if not any(name.startswith(kind.scope) for name in tensors):
        require_pooler(backbone)
        notes.found.append("The pooler of the backbone: the checkpoint has none.")
        return ForeignHead(HeadSpec(pooling="pooler", pooled_from=pooled_from), output)
    dense = layer(tensors, f"{kind.scope}pooler.dense", "dense")
    if _is_own_pooler(tensors, f"{kind.scope}pooler.dense", backbone):
        notes.found.append("The frozen pooler of the backbone.")
        return ForeignHead(HeadSpec(pooling="pooler", pooled_from=pooled_from), output)
    notes.found.append(
        "A frozen pooler that is not the backbone's own, which becomes the head's dense layer."
    )
    spec = HeadSpec(pooling="first_token", activation="tanh", pooled_from=pooled_from)
    return ForeignHead(spec, {**dense, **output})


def _is_own_pooler(tensors: Tensors, source: str, backbone: Backbone) -> bool:
    if not backbone.fingerprint.has_pooler:
        return False
    state = backbone.model.state_dict()
    return all(
        _equal(tensors.get(f"{source}.{part}"), state[f"pooler.dense.{part}"])
        for part in ("weight", "bias")
    )


def _problem_type(config: Mapping[str, Any]) -> ProblemType | None:
    """Read what transformers notes in a config once it has computed a loss."""
    known = {str(name): name for name in get_args(ProblemType)}
    return known.get(str(config.get("problem_type")))
