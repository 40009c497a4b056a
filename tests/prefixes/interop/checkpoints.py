"""Checkpoint folders as the original P-tuning v2 leaves them, of tiny random models."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prefixes.backbone import Backbone

PREFIX_LENGTH = 4


@dataclass
class Checkpoint:
    """A checkpoint before it is written: change what you like."""

    config: dict[str, Any]
    tensors: dict[str, Tensor] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self.config))
        torch.save(self.tensors, folder / "pytorch_model.bin")
        return folder


def make_checkpoint(
    backbone: Backbone, name: str = "BertPrefixForSequenceClassification", *, outputs: int = 2
) -> Checkpoint:
    """The full model of one of the original's classes, over a backbone's own weights."""
    facts = backbone.fingerprint
    torch.manual_seed(3)
    scope = "deberta" if facts.model_type == "deberta-v2" else facts.model_type
    tensors: dict[str, Tensor] = {
        f"{scope}.{key}": tensor.clone() for key, tensor in backbone.model.state_dict().items()
    }
    tensors[f"{scope}.embeddings.position_ids"] = torch.arange(facts.max_positions)[None]
    head = "qa_outputs" if "QuestionAnswering" in name else "classifier"
    width = 2 * facts.num_layers * facts.hidden_size
    shapes = {
        f"{head}.weight": (outputs, facts.hidden_size),
        f"{head}.bias": (outputs,),
        **(
            {"prefix_encoder.weight": (PREFIX_LENGTH, facts.hidden_size)}
            if "Prompt" in name
            else {"prefix_encoder.embedding.weight": (PREFIX_LENGTH, width)}
        ),
    }
    tensors |= random_tensors(shapes)
    config = {
        "architectures": [name],
        "model_type": facts.model_type,
        "pre_seq_len": PREFIX_LENGTH,
        "id2label": {"0": "bad", "1": "good"},
    }
    return Checkpoint(config, tensors)


def random_tensors(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    return {name: torch.randn(shape) * 0.5 for name, shape in shapes.items()}
