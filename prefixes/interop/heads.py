"""Foreign heads: the heads of transformers' task models, as pooling and layers."""

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
"""The activation between `classifier.dense` and `classifier.out_proj`, by architecture."""


@dataclass(frozen=True, slots=True, eq=False)
class ForeignHead:
    """A head's description and its tensors, such as `output.weight` and `dense.bias`."""

    spec: HeadSpec
    tensors: Mapping[str, Tensor]

    @property
    def num_outputs(self) -> int:
        return int(self.tensors["output.weight"].shape[0])


@dataclass(frozen=True, slots=True)
class _Layout:
    """The names of a head's output layer and dense layer, and the activation between them.

    `activation` reads the backbone's config and returns None if the architecture has no such head.
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
    """Recognize the head of one of transformers' task models by the names of its tensors.

    Raises:
        ConversionRefused: when it is unknown, or reads a pooler that the backbone lacks.
    """
    if traits_of(task_type).is_per_token:
        return _made(HeadSpec(pooling="every_token"), output_layer(tensors, task_type))
    for layout in _LAYOUTS:
        if f"{layout.dense}.weight" in tensors:
            activation = layout.activation(backbone.model.config)
            if activation is None:
                raise ConversionRefused(
                    f"The head has a layer {layout.dense}, which heads for "
                    f"{backbone.fingerprint.model_type} do not have"
                )
            return _made(
                HeadSpec(pooling="first_token", activation=activation_of(activation)),
                layer(tensors, layout.dense, "dense"),
                layer(tensors, layout.output, "output"),
            )
    require_pooler(backbone)
    return _made(HeadSpec(pooling="pooler"), layer(tensors, "classifier", "output"))


def require_pooler(backbone: Backbone) -> None:
    """Check that the backbone has the pooler that a head reads.

    Raises:
        ConversionRefused: when it has none. The pooler of training was then random, and is lost.
    """
    if not backbone.fingerprint.has_pooler:
        raise ConversionRefused(
            f"The head reads the backbone's pooler, which {backbone.fingerprint.name} does not "
            "have: the pooler of training was random and was not saved. Load a backbone with that "
            "pooler if you have one."
        )


def output_name(task_type: TaskType) -> str:
    """Return the name of the output layer in transformers' models for the task type."""
    return "qa_outputs" if task_type == "question_answering" else "classifier"


def output_layer(tensors: Mapping[str, Tensor], task_type: TaskType) -> dict[str, Tensor]:
    """Take the output layer by the name that transformers gives it in models for the task type.

    Raises:
        ConversionRefused: if a tensor is missing or has the wrong shape.
    """
    return layer(tensors, output_name(task_type), "output")


def layer(tensors: Mapping[str, Tensor], source: str, name: str) -> dict[str, Tensor]:
    """Take a linear layer: `{name}.weight` `[out, in]` and `{name}.bias` `[out]`.

    Raises:
        ConversionRefused: when a tensor is missing, or their shapes do not match.
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
    """Take a floating-point tensor by name.

    Raises:
        ConversionRefused: when there is no such tensor.
    """
    tensor = tensors.get(name)
    if tensor is None or not tensor.is_floating_point():
        found = ", ".join(sorted(tensors)[:8]) if tensor is None else str(tensor.dtype)
        raise ConversionRefused(
            f"The tensor {name} is missing or not floating-point: found {found[:400]}"
        )
    return tensor


def activation_of(name: object) -> Activation:
    """Parse the name of an activation.

    Raises:
        ConversionRefused: when heads do not support it here.
    """
    for known in get_args(Activation):
        if name == known:
            return known  # type: ignore[no-any-return]
    raise ConversionRefused(
        f"The head's activation {str(name)[:60]!r} is not supported: expected one of "
        f"{', '.join(get_args(Activation))}"
    )


def _made(spec: HeadSpec, *layers: Mapping[str, Tensor]) -> ForeignHead:
    return ForeignHead(spec, {name: x for tensors in layers for name, x in tensors.items()})
