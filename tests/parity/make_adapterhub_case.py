"""Make the files under `tests/data/adapterhub` with the library that AdapterHub's users train with.

Not a test: run once, in an environment of its own, for `adapters` pins an older transformers:

    python -m venv adapters-venv
    adapters-venv/bin/pip install torch==2.13.0 adapters==1.3.0
    adapters-venv/bin/python tests/parity/make_adapterhub_case.py tests/data/adapterhub

A case is a folder: `backbone` (a tiny random encoder), `adapter` (what `save_adapter` writes, head
included) and `expected.safetensors` (the tokens of some texts, and what the library computes).
"""

import sys
from pathlib import Path
from typing import Any

import adapters  # type: ignore[import-not-found]
import torch
import transformers
from adapters import PrefixTuningConfig
from safetensors.torch import save_file

NUM_LABELS = 3
LENGTHS = (11, 7, 2)
SIZES: dict[str, Any] = {
    "vocab_size": 24,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 10,
    "max_position_embeddings": 16,
}
DISTANCES: dict[str, Any] = {
    "relative_attention": True,
    "position_biased_input": False,
    "pos_att_type": ["c2p", "p2c"],
}

# By name: architecture, its sizes, prefix tuning, and the head with its options: that of a class of
# transformers, or a flexible one of AdapterHub.
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any], str, dict[str, Any]]] = {
    "albert_multilabel": ("albert", {"embedding_size": 4}, {}, "multilabel", {"id2label": True}),
    "bert_pooled": (
        "bert",
        {},
        {"flat": True},
        "classification",
        {"layers": 1, "use_pooler": True, "id2label": True},
    ),
    "deberta_v2_static": ("deberta-v2", DISTANCES, {}, "SequenceClassification", {}),
    "distilbert_tagging": ("distilbert", {"hidden_dim": 10}, {}, "tagging", {"id2label": True}),
    "electra_answers": ("electra", {"embedding_size": 4}, {"flat": True}, "qa", {}),
    "roberta_choices": ("roberta", {}, {}, "multiple_choice", {"num_choices": 3}),
    "xlm_roberta_static": ("xlm-roberta", {}, {"flat": True}, "SequenceClassification", {}),
}


def make_case(name: str, folder: Path) -> None:
    architecture, sizes, tuning, head, options = CASES[name]
    torch.manual_seed(sorted(CASES).index(name))
    config = transformers.AutoConfig.for_model(architecture, **{**SIZES, **sizes})
    config.num_labels = NUM_LABELS
    backbone = folder / "backbone"
    encoder = transformers.AutoModel.from_config(config)
    shake(encoder)
    encoder.save_pretrained(backbone)
    model = load(backbone, head)
    model.add_adapter(
        "task", config=PrefixTuningConfig(prefix_length=4, bottleneck_size=6, **tuning)
    )
    if not is_static(head):
        add_head(model, head, dict(options))
    shake_trainable(model)
    model.set_active_adapters("task")
    model.eval()
    model.save_adapter(str(folder / "adapter"), "task", with_head=True)
    save_file(expected(model, head), folder / "expected.safetensors")


def is_static(head: str) -> bool:
    return head[0].isupper()


def load(backbone: Path, head: str) -> Any:
    if not is_static(head):
        return adapters.AutoAdapterModel.from_pretrained(backbone)
    auto = getattr(transformers, f"AutoModelFor{head}")
    model = auto.from_pretrained(backbone)
    adapters.init(model)
    return model


def add_head(model: Any, head: str, options: dict[str, Any]) -> None:
    if options.pop("id2label", False):
        options["id2label"] = dict(enumerate("xyz"))
    match head:
        case "classification":
            model.add_classification_head("task", num_labels=NUM_LABELS, **options)
        case "multilabel":
            model.add_classification_head("task", num_labels=NUM_LABELS, multilabel=True, **options)
        case "tagging":
            model.add_tagging_head("task", num_labels=NUM_LABELS, **options)
        case "multiple_choice":
            model.add_multiple_choice_head("task", **options)
        case "qa":
            model.add_qa_head("task", **options)


def shake(model: torch.nn.Module) -> None:
    """Replace the timid initial weights, so that a mistake shows."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            is_norm = "norm" in name.lower() and name.endswith("weight")
            parameter.normal_(float(is_norm), 0.3 if parameter.dim() < 2 else 0.4)


def shake_trainable(model: torch.nn.Module) -> None:
    parts = ("prefix_tuning", "heads.task", "classifier", "pooler.dense", "qa_outputs")
    own = [n for n, _ in model.named_parameters() if any(part in n for part in parts)]
    own = [name for name in own if name.count("pooler") == 0 or name.startswith("pooler")]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in own:
                parameter.normal_(0, 0.5)


def expected(model: Any, head: str) -> dict[str, torch.Tensor]:
    """Run texts one by one: outputs `[N, outputs]`, or `[T, outputs]` of all tokens in order."""
    generator = torch.Generator().manual_seed(1)
    rows, tokens = [], []
    for length in LENGTHS:
        ids = torch.randint(5, SIZES["vocab_size"], (1, length), generator=generator)
        tokens.append(ids[0])
        copies = ids.expand(3, -1) if head == "multiple_choice" else ids
        with torch.no_grad():
            outputs = model(input_ids=copies, attention_mask=torch.ones_like(copies))
        if "logits" in outputs:
            logits = outputs.logits[0]
            logits = logits[:1] if head == "multiple_choice" else logits
        else:
            logits = torch.stack((outputs.start_logits[0], outputs.end_logits[0]), dim=-1)
        rows.append(logits if logits.dim() == 2 else logits[None])
    return {
        "token_ids": torch.cat(tokens),
        "lengths": torch.tensor(LENGTHS),
        "outputs": torch.cat(rows).contiguous(),
    }


if __name__ == "__main__":
    for case in CASES:
        make_case(case, Path(sys.argv[1]) / case)
