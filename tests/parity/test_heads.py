"""A head without a prefix: what the plain model with that head gives, mixed or not."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModel

from prefixes.backbone import Backbone, pool_of, run_mixed
from tests.factories import encode_each, make_prefix


@pytest.mark.parametrize("is_alone", [True, False])
def test_outputs_of_a_head_alone_equal_the_plain_model_with_that_head(
    parity_backbone: Backbone, parity_folder: Path, *, is_alone: bool
) -> None:
    prefix = make_prefix(parity_backbone.fingerprint, method="head")
    others = [] if is_alone else [make_prefix(parity_backbone.fingerprint, seed=1)]
    others += [] if is_alone else [make_prefix(parity_backbone.fingerprint, method="prompt")]
    inputs = [{"text": "a very good film"}, {"text": "where is the river and the city " * 4}]
    texts = encode_each(parity_backbone, prefix.spec, inputs)
    pool, (resident, *beside) = pool_of(parity_backbone, [prefix, *others])

    work = [(text, one) for text in texts for one in (*beside, resident)]
    outputs = run_mixed(parity_backbone, pool, work)[len(beside) :: 1 + len(beside)]

    plain = AutoModel.from_pretrained(parity_folder, dtype=torch.float32).eval()
    weight, bias = (
        torch.from_numpy(prefix.tensors[f"head.output.{x}"]) for x in ("weight", "bias")
    )
    for text, mine in zip(texts, outputs, strict=True):
        with torch.no_grad():
            hidden = plain(input_ids=torch.tensor([text.token_ids])).last_hidden_state[0]
        expected = hidden.mean(0) @ weight.T + bias
        torch.testing.assert_close(mine, expected, atol=1e-5, rtol=0)
