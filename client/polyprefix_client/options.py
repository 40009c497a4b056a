"""Options of the calls that run tasks. docs/http-api.md describes their effects."""

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict


class LengthOptions(TypedDict, total=False):
    """How texts are read that are longer than the task allows."""

    truncate: bool
    long_text: Literal["truncate", "windows"]
    stride: int


class ClassifyOptions(LengthOptions, total=False):
    """Options of `POST /v1/classify`."""

    merge: Literal["mean", "max", "first"]
    top_k: int
    function_to_apply: Literal["softmax", "sigmoid", "none"]
    thresholds: Mapping[str, float]
    min_score: float
    abstain: bool
    level: int
    explain: Literal["occlusion"]
    explain_label: str
    explain_max_parts: int
    explain_spans: Sequence[Sequence[int]] | Mapping[str, Sequence[Sequence[int]]]


class EntityOptions(LengthOptions, total=False):
    """Options of `POST /v1/token-classification`."""

    aggregation_strategy: Literal["none", "simple", "first", "average", "max"]


class AnswerOptions(TypedDict, total=False):
    """Options of `POST /v1/question-answering`."""

    truncate: bool
    top_k: int
    max_answer_len: int
    handle_impossible_answer: bool


class PredictOptions(ClassifyOptions, total=False):
    """Options of `POST /v1/predict`. Each applies to inputs of its task type."""

    aggregation_strategy: Literal["none", "simple", "first", "average", "max"]
    max_answer_len: int
    handle_impossible_answer: bool
