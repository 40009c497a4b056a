"""The supported architectures, each described by the few facts in which they differ."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from torch import Tensor

from prefixes.backbone import disentangled, mpnet
from prefixes.backbone.attention import PrefixedCall
from prefixes.backbone.inputs import ModelInputs
from prefixes.errors import UnsupportedBackbone

Pooler = Callable[[Tensor], Any]
"""Maps hidden states `[n, S, hidden]` to one vector per text `[n, hidden]`, by its first token."""


def _zero(_: Any) -> int:
    return 0


def _after_padding(config: Any) -> int:
    if config.pad_token_id is None:
        raise UnsupportedBackbone(
            f"The architecture {config.model_type!r} counts positions from its padding token: "
            "expected a pad_token_id in config.json, found none"
        )
    return int(config.pad_token_id) + 1


def _accept(_: Any) -> None:
    """Accept every configuration."""


def _through_interface(model: Any, inputs: ModelInputs, call: PrefixedCall) -> Tensor:
    hidden: Tensor = model(
        **inputs.named("token_type_ids", "position_ids"), call=call
    ).last_hidden_state
    return hidden[0]


def _without_types(model: Any, inputs: ModelInputs, call: PrefixedCall) -> Tensor:
    hidden: Tensor = model(**inputs.named("position_ids"), call=call).last_hidden_state
    return hidden[0]


def _embed(model: Any, token_ids: Tensor, token_type_ids: Tensor, position_ids: Tensor) -> Tensor:
    embedded: Tensor = model.embeddings(
        input_ids=token_ids, token_type_ids=token_type_ids, position_ids=position_ids
    )
    return embedded


def _embed_without_types(model: Any, token_ids: Tensor, _: Tensor, position_ids: Tensor) -> Tensor:
    embedded: Tensor = model.embeddings(input_ids=token_ids, position_ids=position_ids)
    return embedded


def _embed_rotary(model: Any, token_ids: Tensor, _types: Tensor, _positions: Tensor) -> Tensor:
    embedded: Tensor = model.embeddings(input_ids=token_ids)
    return embedded


def _embed_words(model: Any, token_ids: Tensor, _types: Tensor, _positions: Tensor) -> Tensor:
    embedded: Tensor = model.get_input_embeddings()(token_ids)
    return embedded


def _own_pooler(model: Any) -> Pooler | None:
    pooler: Pooler | None = getattr(model, "pooler", None)
    return pooler


def _linear_pooler(model: Any) -> Pooler:
    """Combine the two halves of ALBERT's pooler: its `pooler` is only a linear layer."""

    def pooler(hidden: Tensor) -> Any:
        return model.pooler_activation(model.pooler(hidden[:, 0]))

    return pooler


@dataclass(frozen=True, slots=True)
class Architecture:
    """The facts about an architecture that the packed forward pass needs.

    - `first_position` returns the position id of a text's first token without a prefix: 0 for
      BERT, padding id + 1 for RoBERTa (transformers, `create_position_ids_from_input_ids`).
    - `forward` runs a model over a packed batch, with every layer's attention through the call,
      and returns the last hidden states `[T, hidden]`.
    - `embed` returns the output `[1, T, E]` of the embedding module for token ids, token type ids
      and position ids, `[1, T]` each, for P-tuning v2's `--prompt`. E is the size of
      `inputs_embeds`.
    - `pooler` returns a model's own pooler, if it has one.
    - `check` raises UnsupportedBackbone for a configuration that `forward` does not cover.
    - `norms` are the two norms of a layer, as paths within it, in the order in which they run.
    - `scores_distances` is true if attention scores depend on the distance of tokens.
    """

    model_type: str
    first_position: Callable[[Any], int] = _zero
    forward: Callable[[Any, ModelInputs, PrefixedCall], Tensor] = _through_interface
    embed: Callable[[Any, Tensor, Tensor, Tensor], Tensor] = _embed
    pooler: Callable[[Any], Pooler | None] = _own_pooler
    check: Callable[[Any], None] = _accept
    scores_distances: bool = False
    norms: tuple[str, str] = ("attention.output.LayerNorm", "output.LayerNorm")

    def usable_positions(self, config: Any) -> int:
        """Count the positions that a text may use without a position offset.

        For rotary positions, which have no table, this is the length that the model was made for.
        """
        return int(config.max_position_embeddings) - self.first_position(config)


_BEFORE_EACH_HALF: Final = ("input_layernorm", "post_attention_layernorm")
_AFTER_EACH_HALF: Final = ("post_attention_layernorm", "post_mlp_layernorm")

ARCHITECTURES: Final = {
    architecture.model_type: architecture
    for architecture in (
        # Absolute positions
        Architecture(
            "albert",
            pooler=_linear_pooler,
            norms=("attention.LayerNorm", "full_layer_layer_norm"),
        ),
        Architecture("bert"),
        Architecture("bert-generation", forward=_without_types, embed=_embed_without_types),
        Architecture(
            "distilbert",
            forward=_without_types,
            embed=_embed_without_types,
            norms=("sa_layer_norm", "output_layer_norm"),
        ),
        Architecture("electra"),
        Architecture("ernie"),
        Architecture("splinter"),
        # Absolute positions, counted from that of the padding token
        Architecture("camembert", _after_padding),
        Architecture("data2vec-text", _after_padding),
        Architecture("roberta", _after_padding),
        Architecture(
            "roberta-prelayernorm",
            _after_padding,
            norms=("attention.LayerNorm", "intermediate.LayerNorm"),
        ),
        Architecture("xlm-roberta", _after_padding),
        Architecture(
            "xlm-roberta-xl",
            _after_padding,
            norms=("attention.self_attn_layer_norm", "LayerNorm"),
        ),
        # Distances between tokens, with or without absolute positions
        Architecture(
            "deberta",
            forward=disentangled.run_deberta,
            check=disentangled.check_deberta,
            scores_distances=True,
        ),
        Architecture(
            "deberta-v2",
            forward=disentangled.run_deberta_v2,
            check=disentangled.check_deberta_v2,
            scores_distances=True,
        ),
        Architecture(
            "mpnet",
            mpnet.first_position,
            mpnet.run_mpnet,
            scores_distances=True,
            norms=("attention.LayerNorm", "output.LayerNorm"),
        ),
        # Rotary positions
        Architecture(
            "eurobert", forward=_without_types, embed=_embed_words, norms=_BEFORE_EACH_HALF
        ),
        Architecture("gte", norms=_AFTER_EACH_HALF),
        Architecture("jina_embeddings_v3", norms=_AFTER_EACH_HALF),
        Architecture(
            "modernbert",
            forward=_without_types,
            embed=_embed_rotary,
            norms=("attn_norm", "mlp_norm"),
        ),
        Architecture("nomic_bert", norms=_AFTER_EACH_HALF),
        Architecture(
            "ultrabert", forward=_without_types, embed=_embed_words, norms=_BEFORE_EACH_HALF
        ),
    )
}


def architecture_of(config: Any) -> Architecture:
    """Return the description of a model's architecture.

    Raises:
        UnsupportedBackbone: when the architecture is not supported; when the model is configured as
            a decoder, whose tokens do not attend to later ones; or when transformers computes its
            positions wrongly, or not for each text separately.
    """
    model_type = str(config.model_type)
    if model_type not in ARCHITECTURES:
        supported = ", ".join(sorted(ARCHITECTURES))
        raise UnsupportedBackbone(
            f"The architecture {model_type!r} is not supported: expected one of {supported}"
        )
    if getattr(config, "is_decoder", False):
        raise UnsupportedBackbone(
            f"The backbone {model_type!r} is configured as a decoder: expected an encoder, with "
            "is_decoder false in config.json"
        )
    _check_positions(config)
    ARCHITECTURES[model_type].check(config)
    return ARCHITECTURES[model_type]


def _check_positions(config: Any) -> None:
    kind = str(getattr(config, "position_embedding_type", "absolute"))
    if kind.startswith("relative"):
        # transformers 5 no longer computes these and ignores the setting silently.
        raise UnsupportedBackbone(
            f"The backbone {config.model_type!r} was trained with relative positions: expected "
            f"position_embedding_type absolute in config.json, found {kind}"
        )
    if "longrope" in str(getattr(config, "rope_parameters", None)):
        # Its rotation depends on the longest text in the batch.
        raise UnsupportedBackbone(
            f"The backbone {config.model_type!r} has positions that depend on the longest text in "
            "the batch: expected another rope_type than longrope in config.json"
        )
