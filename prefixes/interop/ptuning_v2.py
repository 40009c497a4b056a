"""Import of checkpoints of the original P-tuning v2: full models with prefix and head.

Source: THUDM/P-tuning-v2, `model/*.py`: the classes `{Bert,Roberta,Deberta,DebertaV2}{Prefix,
Prompt}[Model]For{SequenceClassification,TokenClassification,QuestionAnswering,MultipleChoice}`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, get_args

from torch import Tensor

from prefixes.backbone import Backbone
from prefixes.interop.assembly import ForeignPrefix, ImportOptions, assemble, meaningful_labels
from prefixes.interop.claims import check_claims
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
from prefixes.interop.ptuning_v2_classes import OriginalClass, architectures, original_class
from prefixes.interop.ptuning_v2_weights import check_frozen_weights, has_own_pooler
from prefixes.interop.report import ImportedPrefix, Notes
from prefixes.spec import HeadSpec, ProblemType, traits_of

_FILES: Final = ("model.safetensors", "pytorch_model.bin")


def import_ptuning_v2(folder: Path, backbone: Backbone, options: ImportOptions) -> ImportedPrefix:
    """Convert a checkpoint folder: `config.json` with `pytorch_model.bin` or `model.safetensors`.

    Raises:
        ConversionRefused: when the folder has other content, or was trained on another backbone.
        PrefixRejected: when its tensors are not valid in a prefix file.
    """
    config = read_settings(folder, "config.json")
    tensors = read_tensors(folder, _FILES)
    origin = original_class(config, tensors)
    notes = Notes([f"A {origin.method} for {origin.task_type} on {origin.model_type}."])
    check_frozen_weights(origin, tensors, backbone, notes)
    length, own = _prefix(origin, tensors, backbone, notes)
    _check_config(origin, config, tensors, length, backbone)
    notes.lost.append("Dropout, the optimizer state and everything else that only training uses.")
    foreign = ForeignPrefix(
        tool="polyprefix import ptuning-v2",
        task_type=origin.task_type,
        method=origin.method,
        tensors=own,
        prefix_length=length,
        position_offset=_position_offset(origin, config, length),
        head=_head(origin, config, tensors, backbone, notes),
        problem_type=_problem_type(config),
        labels=meaningful_labels(config.get("id2label")),
        template=TEMPLATES_OF.get((str(config.get("finetuning_task")), origin.task_type)),
        recipe={"architectures": [str(name)[:100] for name in architectures(config)[:1]]},
    )
    return assemble(backbone, foreign, options, notes)


def _check_config(
    origin: OriginalClass,
    config: Mapping[str, Any],
    tensors: Tensors,
    length: int,
    backbone: Backbone,
) -> None:
    facts = backbone.fingerprint
    projection = tensors.get("prefix_encoder.trans.0.weight")
    prefix: dict[str, object] = {}
    if origin.method == "prefix":
        prefix["prefix_projection"] = projection is not None
    if projection is not None:  # the original also writes a size without a projection
        prefix["prefix_hidden_size"] = len(projection)
    sizes = {
        "model_type": origin.model_type,
        "pre_seq_len": length,
        "num_hidden_layers": facts.num_layers,
        "hidden_size": facts.hidden_size,
        "num_attention_heads": facts.num_heads,
    }
    check_claims("config.json", config, {**sizes, **prefix})


def _prefix(
    origin: OriginalClass, tensors: Tensors, backbone: Backbone, notes: Notes
) -> tuple[int, dict[str, Tensor]]:
    """Return the length and the tensors of the prefix or prompt."""
    if origin.method == "prompt":
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


def _position_offset(origin: OriginalClass, config: Mapping[str, Any], length: int) -> int:
    """Return the position offset: the length of a prefix if the backbone counts positions.

    A prompt occupies positions itself. DeBERTa uses distances, which a prefix does not change. It
    uses positions only with `position_biased_input`, which is on by default in transformers.
    """
    if origin.method == "prompt":
        return 0
    if origin.model_type.startswith("deberta") and not config.get("position_biased_input", True):
        return 0
    return length


def _head(
    origin: OriginalClass,
    config: Mapping[str, Any],
    tensors: Tensors,
    backbone: Backbone,
    notes: Notes,
) -> ForeignHead:
    output = output_layer(tensors, origin.task_type)
    if traits_of(origin.task_type).is_per_token:
        return ForeignHead(HeadSpec(pooling="every_token"), output)
    if origin.scope == "deberta.":
        activation = activation_of(config.get("pooler_hidden_act", "gelu"))
        notes.found.append("A trained pooler, which becomes the head's dense layer.")
        spec = HeadSpec(pooling="first_token", activation=activation)
        return ForeignHead(spec, {**layer(tensors, "pooler.dense", "dense"), **output})
    # In multiple choice the original pooled the first position, which is that of a prompt.
    is_from_prompt = origin.method == "prompt" and origin.task_type == "multiple_choice"
    pooled_from = "prompt" if is_from_prompt else "text"
    if not any(name.startswith(origin.scope) for name in tensors):
        require_pooler(backbone)
        notes.found.append("The pooler of the backbone; the checkpoint has none.")
        return ForeignHead(HeadSpec(pooling="pooler", pooled_from=pooled_from), output)
    dense = layer(tensors, f"{origin.scope}pooler.dense", "dense")
    if has_own_pooler(tensors, f"{origin.scope}pooler.dense", backbone):
        notes.found.append("The frozen pooler of the backbone.")
        return ForeignHead(HeadSpec(pooling="pooler", pooled_from=pooled_from), output)
    notes.found.append(
        "A frozen pooler that differs from the backbone's, which becomes the head's dense layer."
    )
    spec = HeadSpec(pooling="first_token", activation="tanh", pooled_from=pooled_from)
    return ForeignHead(spec, {**dense, **output})


def _problem_type(config: Mapping[str, Any]) -> ProblemType | None:
    """Return the problem type, which transformers stores in a config after computing a loss."""
    known = {str(name): name for name in get_args(ProblemType)}
    return known.get(str(config.get("problem_type")))
