"""The tiny encoders of tests: one of every supported architecture, and what its sizes are."""

from typing import Any

from transformers import AutoConfig, AutoModel

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 320,
}
AFTER_PADDING = {"pad_token_id": 1, "type_vocab_size": 1}
SPECIAL_TOKENS = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
BY_DISTANCE = {"relative_attention": True, "position_biased_input": False}
LOCAL_AND_GLOBAL = ["full_attention", "sliding_attention"]

ENCODERS: dict[str, dict[str, Any]] = {
    "albert": {"embedding_size": 16},
    "bert": {},
    "bert-generation": {"pad_token_id": 0},
    "camembert": AFTER_PADDING,
    "data2vec-text": AFTER_PADDING,
    "deberta": {**BY_DISTANCE, "pos_att_type": "c2p|p2c"},
    "deberta-v2": {
        **BY_DISTANCE,
        "pos_att_type": "p2c|c2p",
        "share_att_key": True,
        "position_buckets": 8,
        "norm_rel_ebd": "layer_norm",
        "conv_kernel_size": 3,
        "conv_act": "gelu",
    },
    "distilbert": {"hidden_dim": 48},
    "electra": {"embedding_size": 16},
    "ernie": {"use_task_id": True},
    "eurobert": {**SPECIAL_TOKENS, "mask_token_id": 4, "num_key_value_heads": 2},
    "gte": {"pad_token_id": 0, "type_vocab_size": 0},
    "jina_embeddings_v3": {"pad_token_id": 1},
    "modernbert": {
        **SPECIAL_TOKENS,
        "cls_token_id": 2,
        "sep_token_id": 3,
        "layer_types": LOCAL_AND_GLOBAL,
        "local_attention": 16,
        "norm_bias": True,
    },
    "mpnet": {},
    "nomic_bert": {},
    "roberta": AFTER_PADDING,
    "roberta-prelayernorm": AFTER_PADDING,
    "splinter": {"question_token_id": 4},
    "ultrabert": {
        "layer_types": LOCAL_AND_GLOBAL,
        "sliding_window": 8,
        "num_key_value_heads": 2,
    },
    "xlm-roberta": AFTER_PADDING,
    "xlm-roberta-xl": AFTER_PADDING,
}
"""The settings of each architecture in addition to `SIZES`; the others keep their defaults."""


def make_encoder(architecture: str, vocab_size: int) -> Any:
    """Make a model with transformers' own initial weights."""
    settings = {**SIZES, **ENCODERS[architecture], "vocab_size": vocab_size}
    return AutoModel.from_config(AutoConfig.for_model(architecture, **settings))
