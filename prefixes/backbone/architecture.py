"""The supported architectures, each described by the few facts in which they differ."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from torch import Tensor

from prefixes.backbone.attention import PrefixedCall
from prefixes.backbone.inputs import ModelInputs
from prefixes.errors import UnsupportedBackbone


def _zero(_: Any) -> int:
    return 0


def _after_padding(config: Any) -> int:
    if config.pad_token_id is None:
        raise UnsupportedBackbone(
            f"The backbone's architecture {config.model_type!r} counts positions from its padding "
            "token: expected a pad_token_id in config.json, found none"
        )
    return int(config.pad_token_id) + 1


def _through_interface(model: Any, inputs: ModelInputs, call: PrefixedCall) -> Tensor:
    hidden: Tensor = model(
        **inputs.named("token_type_ids", "position_ids"), call=call
    ).last_hidden_state
    return hidden[0]


@dataclass(frozen=True, slots=True)
class Architecture:
    """What the packed forward pass must know of an architecture.

    `first_position` gives the position id of a text's first token without a prefix: 0 for BERT,
    padding id + 1 for RoBERTa (transformers, `create_position_ids_from_input_ids`).
    `forward` runs a model over a packed batch, every layer's attention through the call, and
    gives the last hidden states `[T, hidden]`.
    """

    model_type: str
    first_position: Callable[[Any], int] = _zero
    forward: Callable[[Any, ModelInputs, PrefixedCall], Tensor] = _through_interface

    def usable_positions(self, config: Any) -> int:
        """Count the positions a text may take when its prefix shifts it by nothing."""
        return int(config.max_position_embeddings) - self.first_position(config)


ARCHITECTURES: Final = {
    architecture.model_type: architecture
    for architecture in (
        Architecture("bert"),
        Architecture("roberta", _after_padding),
    )
}


def architecture_of(config: Any) -> Architecture:
    """Find the description of a model's architecture.

    Raises:
        UnsupportedBackbone: naming the architectures that are supported, or when the model was
            set up as a decoder, whose tokens do not see what follows them.
    """
    model_type = str(config.model_type)
    if model_type not in ARCHITECTURES:
        supported = ", ".join(sorted(ARCHITECTURES))
        raise UnsupportedBackbone(
            f"The backbone's architecture {model_type!r} is not supported; supported: {supported}"
        )
    if getattr(config, "is_decoder", False):
        raise UnsupportedBackbone(
            f"The backbone {model_type!r} is set up as a decoder: expected an encoder, that is "
            "is_decoder false in config.json"
        )
    return ARCHITECTURES[model_type]
