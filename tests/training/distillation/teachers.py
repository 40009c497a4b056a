"""Fine-tuned models in folders, and trainings with a teacher."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, DistilBertConfig, DistilBertForSequenceClassification

from tests.training.learnable_tasks import make_config
from training.settings.plan import TrainPlan, check_plan

LABELS = ("bad", "good")


def plan_of(backbone: Path, rows: Path, **changes: Any) -> TrainPlan:
    """A quick training of a tiny backbone, which a teacher learns with larger steps."""
    settings = {"teacher": "full", "teacher_learning_rate": 2e-3, **changes}
    run = make_config(rows, **settings).model_dump(mode="json", exclude_unset=True)
    fields = {"runs": [run], "backbone": str(backbone), "device": "cpu"}
    return check_plan(fields, origin="a test")


def write_distilbert(
    folder: Path, tokenizer: Path, labels: Sequence[str] = LABELS, **changes: Any
) -> Path:
    """Write a classifier of random weights, of another architecture than the backbone."""
    words = AutoTokenizer.from_pretrained(tokenizer)
    torch.manual_seed(3)
    config = DistilBertConfig(
        vocab_size=len(words),
        dim=16,
        hidden_dim=32,
        n_layers=1,
        n_heads=2,
        max_position_embeddings=64,
        initializer_range=0.5,
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
        **changes,
    )
    DistilBertForSequenceClassification(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder
