"""The format of PEFT's prefix-tuning adapters: its files, and the names of its tasks."""

from typing import Final

from prefixes.backbone import Backbone
from prefixes.interop.heads import DENSE_ACTIVATIONS
from prefixes.spec import TaskType

CONFIG_FILE: Final = "adapter_config.json"
WEIGHTS_FILE: Final = "adapter_model.safetensors"
PREFIX_TENSOR: Final = "prompt_embeddings"

TASK_TYPES: Final[dict[str, TaskType]] = {
    "SEQ_CLS": "sequence_classification",
    "TOKEN_CLS": "token_classification",
    "QUESTION_ANS": "question_answering",
}
MODEL_TYPES: Final = frozenset({*DENSE_ACTIVATIONS, "bert", "ernie"})
"""Architectures that take `past_key_values`, without which PEFT does not apply a prefix."""


def drops_token_types(task_type: TaskType, backbone: Backbone) -> bool:
    """Say whether PEFT runs a task without the token types that its backbone distinguishes.

    `PeftModelForQuestionAnswering.forward` accepts them but does not pass them on (PEFT 0.21).
    """
    num_types = getattr(backbone.model.config, "type_vocab_size", 0)
    return task_type == "question_answering" and num_types > 1
