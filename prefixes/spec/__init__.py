"""The description of a prefix: the JSON document in the metadata of its file."""

from prefixes.spec.decisions import Decisions
from prefixes.spec.hierarchy import MAX_LEVELS, Hierarchy, path_of
from prefixes.spec.long_text_options import LongText, LongTextOption, MergeOption, StrideOption
from prefixes.spec.long_texts import MAX_WINDOWS, MAX_WINDOWS_OF_TASK, LongTexts
from prefixes.spec.parts import (
    MAX_LABELS,
    MAX_RANK,
    MAX_TOKENS,
    Activation,
    AnswerSpec,
    GoldenExample,
    HeadSpec,
    Label,
    Method,
    Pooling,
    ProblemType,
    Provenance,
    SpecialTokens,
    Threshold,
)
from prefixes.spec.prefix_spec import ADDITIONS, PrefixSpec
from prefixes.spec.rejection import Rejection
from prefixes.spec.rules import AliasRuleSet, AnswerRules
from prefixes.spec.spec_fields import MAX_GOLDEN, MAX_PREFIX_LENGTH, SCHEMA_VERSION
from prefixes.spec.task_types import TaskTraits, TaskType, traits_of
from prefixes.spec.vectors import Vectors

__all__ = [
    "ADDITIONS",
    "MAX_GOLDEN",
    "MAX_LABELS",
    "MAX_LEVELS",
    "MAX_PREFIX_LENGTH",
    "MAX_RANK",
    "MAX_TOKENS",
    "MAX_WINDOWS",
    "MAX_WINDOWS_OF_TASK",
    "SCHEMA_VERSION",
    "Activation",
    "AliasRuleSet",
    "AnswerRules",
    "AnswerSpec",
    "Decisions",
    "GoldenExample",
    "HeadSpec",
    "Hierarchy",
    "Label",
    "LongText",
    "LongTextOption",
    "LongTexts",
    "MergeOption",
    "Method",
    "Pooling",
    "PrefixSpec",
    "ProblemType",
    "Provenance",
    "Rejection",
    "SpecialTokens",
    "StrideOption",
    "TaskTraits",
    "TaskType",
    "Threshold",
    "Vectors",
    "path_of",
    "traits_of",
]
