"""DeBERTa's kinds that are refused, because they are not computed here."""

from typing import Any

import pytest
from transformers import DebertaConfig, DebertaV2Config

from prefixes.backbone.architecture import architecture_of
from prefixes.errors import UnsupportedBackbone

SIZES: dict[str, Any] = {"hidden_size": 32, "num_attention_heads": 4}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        pytest.param(
            DebertaConfig(**SIZES, talking_head=True),
            "'deberta' .* expected talking_head in config.json to be false, found True",
            id="talking-head",
        ),
        pytest.param(
            DebertaConfig(**SIZES, embedding_size=16),
            "expected embedding_size .* hidden_size 32, found 16",
            id="narrow-embeddings",
        ),
        pytest.param(
            DebertaV2Config(**SIZES, pos_att_type="c2p|p2c|p2p"),
            "'deberta-v2' .* expected pos_att_type .* c2p and p2c only, found p2p",
            id="position-to-position",
        ),
        pytest.param(
            DebertaV2Config(**SIZES, attention_head_size=16),
            "expected attention_head_size .* hidden_size / heads, 8, found 16",
            id="wide-heads",
        ),
    ],
)
def test_a_deberta_of_a_kind_that_is_not_computed_is_refused(config: Any, message: str) -> None:
    with pytest.raises(UnsupportedBackbone, match=message):
        architecture_of(config)


@pytest.mark.parametrize(
    "config",
    [
        DebertaConfig(**SIZES, relative_attention=True, pos_att_type="c2p|p2c"),
        DebertaV2Config(**SIZES, relative_attention=True, pos_att_type="p2c", conv_kernel_size=3),
        DebertaV2Config(**SIZES, attention_head_size=8),
    ],
)
def test_the_kinds_that_were_released_are_accepted(config: Any) -> None:
    assert architecture_of(config).model_type == config.model_type
