"""Explanations: from the options of a request to the explanation of a result."""

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from prefixes.answers import explain
from prefixes.encoded import Span
from prefixes.errors import InputRejected
from prefixes.occlusion import DEFAULT_PARTS, OcclusionOptions
from server.api.explanation_schemas import ExplainedPart, Explanation, ExplanationOptions
from server.api.scores import finite_logits
from server.engine.values import InferenceResult


def occlusion_of(body: ExplanationOptions, *, num_inputs: int) -> OcclusionOptions | None:
    """Return the options for the engine, or None if the request does not ask for explanations.

    Raises:
        InputRejected: when a request with several inputs has spans.
    """
    if body.explain is None:
        return None
    if body.explain_spans is not None and num_inputs != 1:
        raise InputRejected(
            f"`explain_spans` applies to one input, but the request has {num_inputs}. Send each "
            "input in a request of its own, or omit the option to leave out words."
        )
    return OcclusionOptions(
        body.explain_label, _by_field(body.explain_spans), body.explain_max_parts or DEFAULT_PARTS
    )


def explanation_of(
    answer: InferenceResult, options: OcclusionOptions, *, label: str | None
) -> Explanation:
    """Explain a classification.

    Args:
        answer: the result, with its occluded results.
        options: as they were given to the engine.
        label: the label of the answer; None if it has none, or several.

    Raises:
        InferenceFailed: when a logit is not finite.
    """
    found = explain(
        answer.spec,
        finite_logits(answer.version, answer.outputs),
        [
            finite_logits(answer.version, one.outputs) if one.outputs else None
            for one in answer.occluded
        ],
        label=options.label or label,
    )
    return Explanation(
        label=found.label,
        logit=found.logit,
        grouped=any(one.part.num_words > 1 for one in answer.occluded),
        parts=list(_parts(answer, found.changes)),
    )


def _parts(answer: InferenceResult, changes: Sequence[float | None]) -> Iterator[ExplainedPart]:
    texts = cast(Mapping[str, str], answer.named_fields)
    for one, change in zip(answer.occluded, changes, strict=True):
        field, start, end = one.part.field, one.part.start, one.part.end
        text = texts[field][start:end]
        part: ExplainedPart = {"field": field, "start": start, "end": end, "text": text}
        if change is not None:
            part["change"] = change
        yield part


def _by_field(
    spans: Sequence[Sequence[int]] | Mapping[str, Sequence[Sequence[int]]] | None,
) -> Mapping[str | None, Sequence[Span]] | None:
    if spans is None:
        return None
    by_field = spans if isinstance(spans, Mapping) else {None: spans}
    return {name: [(start, end) for start, end in some] for name, some in by_field.items()}
