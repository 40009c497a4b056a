"""The interpretation of outputs: labels and their explanations, entities, and answers.

Training and serving share it.
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
from prefixes.answers.occlusion import LabelExplanation, explain
from prefixes.answers.spans import TextAnswer, find_answers

__all__ = [
    "DEFAULT_THRESHOLD",
    "Entity",
    "LabelExplanation",
    "Strategy",
    "TextAnswer",
    "best_label",
    "chosen_labels",
    "explain",
    "find_answers",
    "find_entities",
    "ranked",
    "sigmoid",
    "softmax",
]
