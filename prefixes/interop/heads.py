"""Foreign heads: the layers behind transformers' models for tasks, told in pooling and layers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

import torch
from torch import Tensor

from prefixes.backbone import Backbone
from prefixes.interop.errors import ConversionRefused
from prefixes.spec import Activation, HeadSpec, TaskType, traits_of

DENSE_ACTIVATIONS: Final[dict[str, Activation]] = {
    "camembert": "tanh",
    "data2vec-text": "tanh",
    "electra": "gelu",
    "roberta": "tanh",
    "roberta-prelayernorm": "tanh",
    "xlm-roberta": "tanh",
    "xlm-roberta-xl": "tanh",
}
"""What stands between `classifier.dense` and `classifier.out_proj`, by architecture."""


@dataclass(frozen=True, slots=True, eq=False)
class ForeignHead:
    """A head's description, and its tensors: `output.weight`, `dense.bias` and so on."""

    spec: HeadSpec
    tensors: Mapping[str, Tensor]

    @property
    def num_outputs(self) -> int:
        return int(self.tensors["output.weight"].shape[0])


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where a head keeps its layers: its output layer, and a dense layer with its activation.

    `activation` reads the backbone's config; None where its architecture has no such head.
    """

    output: str
    dense: str
    activation: Callable[[Any], object]


def _pooler_activation(config: Any) -> object:
    is_deberta = config.model_type in {"deberta", "deberta-v2"}
    return getattr(config, "pooler_hidden_act", "gelu") if is_deberta else None


_LAYOUTS: Final = (
    _Layout(
        "classifier.out_proj",
        "classifier.dense",
        lambda config: DENSE_ACTIVATIONS.get(config.model_type),
    ),
    _Layout(
        "classifier",
        "pre_classifier",
        lambda config: "relu" if config.model_type == "distilbert" else None,
    ),
    _Layout("classifier", "pooler.dense", _pooler_activation),
)


def recognize_head(
    tensors: Mapping[str, Tensor], task_type: TaskType, backbone: Backbone
) -> ForeignHead:
    """Recognise the head of one of transformers' models for tasks by the names of its tensors.

    Raises:
        ConversionRefused: when it is of no known kind, or reads a pooler that is not there.
    """
    if traits_of(task_type).is_per_token:
        return _made(HeadSpec(pooling="every_token"), output_layer(tensors, task_type))
    for layout in _LAYOUTS:
        if f"{layout.dense}.weight" in tensors:
            activation = layout.activation(backbone.model.config)
            if activation is None:
                raise ConversionRefused(
                    f"The head has a layer {layout.dense}, which is not known of "
                    f"{backbone.fingerprint.model_type}"
                )
            return _made(
                HeadSpec(pooling="first_token", activation=activation_of(activation)),
                layer(tensors, layout.dense, "dense"),
                layer(tensors, layout.output, "output"),
            )
    require_pooler(backbone)
    return _made(HeadSpec(pooling="pooler"), layer(tensors, "classifier", "output"))


def require_pooler(backbone: Backbone) -> None:
    """Make sure that a head which reads the backbone's own pooler finds one.

    Raises:
        ConversionRefused: when the backbone has none: the one of training was random, and is lost.
    """
    if not backbone.fingerprint.has_pooler:
        raise ConversionRefused(
            f"The head reads the backbone's pooler, which is not in {backbone.fingerprint.name}: "
            "it was random when the task was trained, and was saved nowhere; load the backbone "
            "with that pooler if there is such a one"
        )


def output_layer(tensors: Mapping[str, Tensor], task_type: TaskType) -> dict[str, Tensor]:
    """Take the output layer by the name that transformers gives it in models for the task type.

    Raises:
        ConversionRefused: if a tensor is missing or has the wrong shape.
    """
    source = "qa_outputs" if task_type == "question_answering" else "classifier"
    return layer(tensors, source, "output")


def layer(tensors: Mapping[str, Tensor], source: str, name: str) -> dict[str, Tensor]:
    """Take a linear layer: `{name}.weight` `[out, in]` and `{name}.bias` `[out]`.

    Raises:
        ConversionRefused: when a tensor is missing or does not fit the other.
    """
    weight = take(tensors, f"{source}.weight")
    if weight.dim() != 2 or not len(weight):
        raise ConversionRefused(
            f"{source}.weight: expected [outputs, inputs], found shape {tuple(weight.shape)}"
        )
    bias = tensors.get(f"{source}.bias", torch.zeros(len(weight)))
    if bias.shape != (len(weight),):
        raise ConversionRefused(
            f"{source}.bias: expected shape ({len(weight)},), found {tuple(bias.shape)}"
        )
    return {f"{name}.weight": weight.float(), f"{name}.bias": bias.float()}


def take(tensors: Mapping[str, Tensor], name: str) -> Tensor:
    """Take a tensor of numbers by its name.

    Raises:
        ConversionRefused: when there is none.
    """
    tensor = tensors.get(name)
    if tensor is None or not tensor.is_floating_point():
        found = ", ".join(sorted(tensors)[:8]) if tensor is None else str(tensor.dtype)
        raise ConversionRefused(f"The tensor {name} is missing: found {found[:400]}")
    return tensor


def activation_of(name: object) -> Activation:
    """Read the name of an activation.

    Raises:
        ConversionRefused: when a head cannot have it here.
    """
    for known in get_args(Activation):
        if name == known:
            return known  # type: ignore[no-any-return]
    raise ConversionRefused(
        f"The head's activation {str(name)[:60]!r} is not known here: expected one of "
        f"{', '.join(get_args(Activation))}"
    )


def _made(spec: HeadSpec, *layers: Mapping[str, Tensor]) -> ForeignHead:
    return ForeignHead(spec, {name: x for tensors in layers for name, x in tensors.items()})
