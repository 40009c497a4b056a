"""The interpretation of outputs: labels, entities and answers, shared by training and serving."""

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
