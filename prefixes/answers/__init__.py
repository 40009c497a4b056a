"""The interpretation of outputs: labels and their explanations, entities, and answers.

Training and serving share it.
"""

from prefixes.answers.decisions import Decision, Reason, decide
from prefixes.answers.entities import Entity, Strategy, find_entities
from prefixes.answers.hierarchy import Tree, is_within, tree_of
from prefixes.answers.labels import (
    DEFAULT_THRESHOLD,
    ranked,
    sigmoid,
    softmax,
)
from prefixes.answers.occlusion import LabelExplanation, explain
from prefixes.answers.rejection import (
    RejectionVerdict,
    energy_scores,
    nearest_distances,
    rejection_scores,
    rejection_verdict,
    split_outputs,
)
from prefixes.answers.rule_options import NO_RULES, RuleOptions, check_labels
from prefixes.answers.rules import RuleSet, rules_of, scored_logits, scored_names
from prefixes.answers.spans import TextAnswer, find_answers
from prefixes.answers.windows import whole_outputs, whole_texts

__all__ = [
    "DEFAULT_THRESHOLD",
    "NO_RULES",
    "Decision",
    "Entity",
    "LabelExplanation",
    "Reason",
    "RejectionVerdict",
    "RuleOptions",
    "RuleSet",
    "Strategy",
    "TextAnswer",
    "Tree",
    "check_labels",
    "decide",
    "energy_scores",
    "explain",
    "find_answers",
    "find_entities",
    "is_within",
    "nearest_distances",
    "ranked",
    "rejection_scores",
    "rejection_verdict",
    "rules_of",
    "scored_logits",
    "scored_names",
    "sigmoid",
    "softmax",
    "split_outputs",
    "tree_of",
    "whole_outputs",
    "whole_texts",
]
