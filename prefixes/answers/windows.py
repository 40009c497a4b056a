"""Long texts: their windows as one text, and the outputs of the windows as those of one text."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from prefixes.encoded import EncodedInput, EncodedText, Merge, Window
from prefixes.spec import PrefixSpec, ProblemType

Array = NDArray[np.floating[Any]]
Float64 = NDArray[np.float64]
T = TypeVar("T")


def whole_texts(texts: EncodedInput) -> EncodedInput:
    """Put the windows of each long text together. Every token of the text occurs once."""
    if texts[0].window is None:
        return texts
    return tuple(map(_whole_text, _by_text(texts, texts)))


def whole_outputs(
    spec: PrefixSpec, texts: EncodedInput, outputs: Sequence[NDArray[np.float32]]
) -> Sequence[NDArray[np.float32]]:
    """Merge the outputs of windows to those of whole texts, for the tokens of `whole_texts`.

    - Token classification: each token has the output from the window in which it has more context.
    - Embedding: the mean, weighted by the windows' tokens, and scaled as the task's vectors are.
    - Sequence classification: by `Window.merge`. The merged logits of one label have the softmax
      that `Merge` describes, and the mean of the windows' log-sum-exp. Those of several labels have
      such sigmoids.

    Args:
        spec: description of the task.
        texts: the texts of an input, windows or not.
        outputs: the outputs of each, `[outputs]`, or `[S, outputs]` for tasks of tokens.
    """
    if texts[0].window is None:
        return outputs
    return [
        _merged(spec, windows, values).astype(np.float32)
        for windows, values in zip(_by_text(texts, texts), _by_text(texts, outputs), strict=True)
    ]


def _by_text(texts: EncodedInput, items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Group what belongs to the windows of one text."""
    starts = [place for place, text in enumerate(texts) if _window(text).number == 0]
    for start, end in zip(starts, [*starts[1:], len(texts)], strict=True):
        yield items[start:end]


def _window(text: EncodedText) -> Window:
    assert text.window is not None
    return text.window


def _whole_text(windows: Sequence[EncodedText]) -> EncodedText:
    first = windows[0]
    if len(windows) == 1:
        return replace(first, window=None)
    own = [(text, slice(_window(text).start, _window(text).end)) for text in windows]
    return EncodedText(
        _joined(text.token_ids[part] for text, part in own),
        _joined(text.token_type_ids[part] for text, part in own),
        first.is_truncated,
        _joined(text.spans[part] for text, part in own),
        _joined(text.words[part] for text, part in own),
    )


def _joined(parts: Iterable[Sequence[T]]) -> list[T]:
    return [item for part in parts for item in part]


def _merged(spec: PrefixSpec, windows: Sequence[EncodedText], outputs: Sequence[Array]) -> Array:
    if len(windows) == 1:
        return outputs[0]
    if spec.task_type == "token_classification":
        own = map(_window, windows)
        return np.concatenate(
            [values[one.start : one.end] for one, values in zip(own, outputs, strict=True)]
        )
    lengths = np.array([len(text.token_ids) for text in windows])
    weights = lengths / lengths.sum()
    values = np.stack(outputs).astype(np.float64)  # (windows, outputs)
    if spec.task_type == "embedding":
        return _mean_vector(values, weights, normalize=spec.head.normalize)
    assert spec.problem_type is not None
    return _MERGES[spec.problem_type](values, weights, _window(windows[0]).merge)


def _mean_vector(vectors: Float64, weights: Float64, *, normalize: bool) -> Float64:
    mean: Float64 = weights @ vectors
    # The mean of opposite vectors has no direction: it stays zero.
    length = float(np.linalg.norm(mean)) if normalize else 0.0
    scaled: Float64 = mean / (length or 1.0)
    return scaled


def _numbers(values: Float64, weights: Float64, merge: Merge) -> Float64:
    highest: Float64 = values.max(axis=0) if merge == "max" else weights @ values
    return highest


def _logits_of_one(logits: Float64, weights: Float64, merge: Merge) -> Float64:
    totals = np.logaddexp.reduce(logits, axis=1)
    logs = logits - totals[:, None]  # log probabilities
    merged = _log_mean(logs, weights) if merge == "mean" else logs.max(axis=0)
    result: Float64 = merged - np.logaddexp.reduce(merged) + weights @ totals
    return result


def _logits_of_each(logits: Float64, weights: Float64, merge: Merge) -> Float64:
    if merge == "max":
        highest: Float64 = logits.max(axis=0)
        return highest
    # log p - log(1 - p), from the logarithms, because p may be so close to 0 or 1 as to equal it.
    yes, no = (-np.logaddexp(0, -sign * logits) for sign in (1, -1))
    return _log_mean(yes, weights) - _log_mean(no, weights)


def _log_mean(logs: Float64, weights: Float64) -> Float64:
    """Return the logarithm of the weighted mean of numbers with these logarithms."""
    result: Float64 = np.logaddexp.reduce(logs + np.log(weights)[:, None], axis=0)
    return result


_MERGES: Final[dict[ProblemType, Callable[[Float64, Float64, Merge], Float64]]] = {
    "single_label_classification": _logits_of_one,
    "multi_label_classification": _logits_of_each,
    "regression": _numbers,
}
