"""Turns the outputs of the engine into results, with one function for each task type."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypedDict

import numpy as np

from prefixes import PrefixSpec
from prefixes.answers import (
    NO_RULES,
    Entity,
    RejectionVerdict,
    RuleOptions,
    Strategy,
    TextAnswer,
    decide,
    find_answers,
    find_entities,
    rules_of,
    scored_names,
    softmax,
)
from prefixes.occlusion import OcclusionOptions
from prefixes.spec import TaskType
from server.api.explanations import explanation_of
from server.api.schemas import FunctionToApply
from server.api.scores import MAX_SCORES, probabilities, ranked_scores
from server.api.task_results import (
    AbstainedResult,
    AnswerEntry,
    AnyResult,
    ClassifyResult,
    EmbeddingResult,
    EntityGroup,
    EntityToken,
    InputUsage,
    MultipleChoiceResult,
    QuestionAnsweringResult,
    RejectionEntry,
    TokenClassificationResult,
)
from server.engine.values import InferenceResult
from server.errors import TooManyScores


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """The options of a request for its results. Each task type uses some of them."""

    top_k: int | None = None
    function: FunctionToApply | None = None
    strategy: Strategy = "first"
    max_answer_tokens: int | None = None
    may_have_none: bool | None = None
    explain: OcclusionOptions | None = None
    rules: RuleOptions = NO_RULES


class _Common(TypedDict):
    """The members that the results of all task types have."""

    index: int
    model: str
    usage: InputUsage


def results_of(answers: Sequence[InferenceResult], options: OutputOptions) -> list[AnyResult]:
    """Return the results of all inputs of a request, in order.

    Raises:
        TooManyScores: when they have more entities than one response may have.
    """
    results: list[AnyResult] = []
    num_entities = 0
    for index, answer in enumerate(answers):
        result = _BY_TYPE[answer.spec.task_type](answer, options, _common(index, answer))
        results.append(result)
        if isinstance(result, TokenClassificationResult):
            num_entities += len(result.entities)
            if num_entities > MAX_SCORES:
                raise TooManyScores(
                    f"The response would have more than {MAX_SCORES} entities, the maximum. Send "
                    "fewer or shorter inputs, or set `aggregation_strategy` to join tokens."
                )
    return results


def _common(index: int, answer: InferenceResult) -> _Common:
    usage = InputUsage(
        tokens=answer.num_tokens, truncated=answer.is_truncated, windows=answer.num_windows
    )
    return {"index": index, "model": str(answer.version), "usage": usage}


def _label(answer: InferenceResult, options: OutputOptions, common: _Common) -> ClassifyResult:
    spec, (logits,) = answer.spec, answer.outputs
    rules = rules_of(spec, answer.rules, options.rules.given, level=options.rules.level)
    scores = probabilities(answer, options.function, rules)
    kind = spec.problem_type
    decision = decide(spec, logits, rules, answer.features)
    is_one_value = kind == "regression" and len(scores) == 1
    explain = options.explain
    result_type = AbstainedResult if decision.abstained else ClassifyResult
    return result_type(
        **common,
        problem_type=kind,
        label=decision.label,
        abstained=decision.abstained,
        reason=decision.reason,
        rejection=_rejection(decision.rejection),
        labels=None if decision.labels is None else list(decision.labels),
        value=float(scores[0]) if is_one_value else None,
        level=decision.level,
        path=None if decision.path is None else list(decision.path),
        scores=ranked_scores(scored_names(spec, rules), scores, options.top_k),
        explanation=(
            None if explain is None else explanation_of(answer, explain, label=decision.label)
        ),
    )


def _rejection(verdict: RejectionVerdict | None) -> RejectionEntry | None:
    return None if verdict is None else {"score": verdict.score, "cutoff": verdict.cutoff}


def _entities(
    answer: InferenceResult, options: OutputOptions, common: _Common
) -> TokenClassificationResult:
    (text,), (logits,) = answer.texts, answer.outputs
    found = find_entities(answer.spec, answer.sliced_text, text, logits, strategy=options.strategy)
    entry = _token if options.strategy == "none" else _group
    return TokenClassificationResult(**common, entities=[entry(entity) for entity in found])


def _group(entity: Entity) -> EntityGroup:
    return {
        "entity_group": entity.label,
        "score": entity.score,
        "word": entity.text,
        "start": entity.start,
        "end": entity.end,
    }


def _token(entity: Entity) -> EntityToken:
    return {
        "entity": entity.label,
        "score": entity.score,
        "index": entity.index,
        "word": entity.text,
        "start": entity.start,
        "end": entity.end,
    }


def _answers(
    answer: InferenceResult, options: OutputOptions, common: _Common
) -> QuestionAnsweringResult:
    found = find_answers(
        _with_rule_of_none(answer.spec, options.may_have_none),
        answer.sliced_text,
        answer.texts,
        answer.outputs,
        top_k=options.top_k or 1,
        max_answer_tokens=options.max_answer_tokens,
    )
    entries = [_answer_entry(one) for one in found]
    answers = None if options.top_k is None else entries
    return QuestionAnsweringResult(**common, **entries[0], answers=answers)


def _with_rule_of_none(spec: PrefixSpec, may_have_none: bool | None) -> PrefixSpec:  # noqa: FBT001 - as on the wire
    """Apply the option that forbids empty answers, or allows them where most probable."""
    rules = spec.answers
    if rules is None or may_have_none in {None, rules.null_threshold is not None}:
        return spec
    threshold = 0.0 if may_have_none else None
    return spec.model_copy(
        update={"answers": rules.model_copy(update={"null_threshold": threshold})}
    )


def _answer_entry(answer: TextAnswer) -> AnswerEntry:
    return {
        "score": answer.score,
        "start": answer.start,
        "end": answer.end,
        "answer": answer.text,
    }


def _choice(
    answer: InferenceResult, _options: OutputOptions, common: _Common
) -> MultipleChoiceResult:
    scores = softmax(np.concatenate(answer.outputs))  # (1,) of each choice -> (choices,)
    best = int(scores.argmax())
    text = answer.choices[best]
    return MultipleChoiceResult(**common, choice=best, text=text, scores=scores.tolist())


def _embedding(
    answer: InferenceResult, _options: OutputOptions, common: _Common
) -> EmbeddingResult:
    return EmbeddingResult(**common, embedding=answer.outputs[0].tolist())


_BY_TYPE: Final[dict[TaskType, Callable[[InferenceResult, OutputOptions, _Common], AnyResult]]] = {
    "sequence_classification": _label,
    "token_classification": _entities,
    "question_answering": _answers,
    "multiple_choice": _choice,
    "embedding": _embedding,
}
