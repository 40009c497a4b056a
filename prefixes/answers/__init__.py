"""What a task's outputs mean: labels, entities, answers out of a context. Without torch, so that
training and serving read them alike.
"""

from prefixes.answers.entities import Entity, Strategy, find_entities
from prefixes.answers.labels import (
    DEFAULT_THRESHOLD,
    best_label,
    chosen_labels,
    ranked,
    sigmoid,
    softmax,
)
from prefixes.answers.spans import TextAnswer, find_answers

__all__ = [
    "DEFAULT_THRESHOLD",
    "Entity",
    "Strategy",
    "TextAnswer",
    "best_label",
    "chosen_labels",
    "find_answers",
    "find_entities",
    "ranked",
    "sigmoid",
    "softmax",
]
