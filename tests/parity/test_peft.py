"""The packed forward pass against PEFT's prefix tuning on BERT."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from prefixes import HeadSpec, Prefix
from prefixes.backbone import Backbone, load_backbone, pool_of, run_mixed
from tests.factories import encode_each, make_backbone_folder, make_spec

peft = pytest.importorskip("peft", reason="peft is not installed")
pytestmark = pytest.mark.filterwarnings(
    "ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"  # peft asks transformers
)

NUM_LABELS, PREFIX_LENGTH = 3, 6
TEXTS = ["a good film", "hello , where is the train ?", "win money now ! " * 12]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_backbone_folder(tmp_path_factory.mktemp("peft") / "bert", seed=5)


def make_peft_model(folder: Path, *, projects: bool) -> Any:
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=NUM_LABELS)
    config = peft.PrefixTuningConfig(
        task_type="SEQ_CLS",
        num_virtual_tokens=PREFIX_LENGTH,
        prefix_projection=projects,
        encoder_hidden_size=24 if projects else None,
    )
    return peft.get_peft_model(model, config).eval()


def prefix_of(model: Any, backbone: Backbone) -> Prefix:
    """Take what PEFT trained into a prefix: `[P, L * 2 * H * D]` to keys and values."""
    facts = backbone.fingerprint
    flat: Tensor = model.get_prompt_embedding_to_save("default")
    shape = (PREFIX_LENGTH, facts.num_layers, 2, facts.num_heads, facts.head_size)
    stacked = flat.view(shape).permute(1, 2, 3, 0, 4)  # (P, L, 2, H, D) -> (L, 2, H, P, D)
    weights = {
        name.rpartition(".")[2]: tensor.detach().numpy()
        for name, tensor in model.named_parameters()
        if "classifier.modules_to_save.default" in name
    }
    spec = make_spec(
        facts,
        labels=tuple(map(str, range(NUM_LABELS))),
        prefix_length=PREFIX_LENGTH,
        head=HeadSpec(pooling="pooler"),
    )
    kv = {"prefix.keys": stacked[:, 0].numpy(), "prefix.values": stacked[:, 1].numpy()}
    head = {f"head.output.{name}": tensor for name, tensor in weights.items()}
    return Prefix(spec, {**kv, **head})


@pytest.mark.parametrize("projects", [False, True], ids=["plain", "with-projection"])
def test_logits_equal_those_of_a_peft_model(folder: Path, *, projects: bool) -> None:
    backbone = load_backbone(folder, device="cpu")
    model = make_peft_model(folder, projects=projects)
    prefix = Prefix.from_bytes(prefix_of(model, backbone).to_bytes(), fits=backbone.fingerprint)
    pool, (resident,) = pool_of(backbone, [prefix])
    encoded = encode_each(backbone, prefix.spec, [{"text": text} for text in TEXTS])

    logits = run_mixed(backbone, pool, [(text, resident) for text in encoded])

    for text, mine in zip(encoded, logits, strict=True):
        with torch.no_grad():
            theirs = model(
                input_ids=torch.tensor([text.token_ids]),
                token_type_ids=torch.tensor([text.token_type_ids]),
                attention_mask=torch.ones(1, len(text.token_ids), dtype=torch.int64),
            ).logits[0]
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=0)


def test_the_position_offset_is_what_makes_them_equal(folder: Path) -> None:
    backbone = load_backbone(folder, device="cpu")
    prefix = prefix_of(make_peft_model(folder, projects=False), backbone)
    unshifted = Prefix(prefix.spec.model_copy(update={"position_offset": 0}), prefix.tensors)
    pool, residents = pool_of(backbone, [prefix, unshifted])
    (text,) = encode_each(backbone, prefix.spec, [{"text": TEXTS[0]}])

    shifted, same_place = run_mixed(backbone, pool, [(text, resident) for resident in residents])

    assert not torch.allclose(shifted, same_place, atol=1e-3)
