"""Target latency: finds the largest batch that meets the target, by trials at startup."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median_low
from typing import Final

import numpy as np
import torch
from torch import Tensor

from prefixes.backbone import Backbone, MixedBatch
from prefixes.backbone.heads import Head
from prefixes.encoded import EncodedText
from prefixes.spec import HeadSpec
from server.batching.scheduler import BatchLimits

_log = logging.getLogger(__name__)

SecondsOf = Callable[[int], float]
"""Runs a batch of the given number of tokens, and returns the seconds that it took."""

_SMALLEST: Final = 16
"""Tokens of the first trial. A longer text runs alone anyway, so a lower limit has no benefit."""

_BATCHES_PER_TARGET: Final = 2.5
"""A text waits for the running batch and then for its own. Half the time of a batch remains for
reading the request, tokenizing and responding.
"""

_SECONDS: Final = 1.0
_ROUNDS: Final = 5
_ROUNDS_SECONDS: Final = 0.1
_NEAR: Final = 0.1
"""The search ends when 10 % more tokens would take too long."""

_TEXT_LENGTHS: Final = (20, 128)
_PREFIX_LENGTH: Final = 16
_NUM_OUTPUTS: Final = 8


@dataclass(frozen=True, slots=True)
class Trial:
    """The number of tokens of a batch, and the seconds that it takes."""

    num_tokens: int
    seconds: float


def limits_within(limits: BatchLimits, target_seconds: float, seconds_of: SecondsOf) -> BatchLimits:
    """Lower the maximum number of tokens so that a text's time in the server meets a target.

    Logs the result, and a warning for a target that no batch can meet.

    Args:
        limits: the operator's limits, which are never exceeded.
        target_seconds: time for a text that finds one batch running and an empty queue.
        seconds_of: called some dozens of times, for about two seconds in total.
    """
    _log.info("measuring the largest batch for a target latency of %.4g ms", target_seconds * 1000)
    seconds_of(min(_SMALLEST, limits.max_tokens))  # warm up
    max_seconds = target_seconds / _BATCHES_PER_TARGET
    found = largest_within(seconds_of, max_seconds, limits.max_tokens)
    if found.seconds > max_seconds:
        _log.warning(
            "the target latency of %.4g ms cannot be met: even a batch of %d tokens takes %.3g ms, "
            "and a text waits for one batch and then for its own. The server uses batches of this "
            "size. Set target_latency_ms to %.3g or more, or use a faster device or a smaller "
            "backbone.",
            *(target_seconds * 1000, found.num_tokens, found.seconds * 1000),
            _BATCHES_PER_TARGET * found.seconds * 1000,
        )
    else:
        _log.info(
            "batches have at most %d tokens, which take %.3g ms",
            *(found.num_tokens, found.seconds * 1000),
        )
    return replace(limits, max_tokens=found.num_tokens)


def largest_within(seconds_of: SecondsOf, max_seconds: float, max_tokens: int) -> Trial:
    """Find the largest batch within a time; return the smallest batch if even that takes longer.

    The search doubles the tokens until they take too long, then narrows the interval. The result
    was measured, unless the time for trials ran out while doubling. It is then extrapolated in
    proportion from the largest trial. This is safe if every batch has a fixed cost.
    """
    trials = _Trials(seconds_of)
    fits = trials.of(min(_SMALLEST, max_tokens))
    while fits.seconds <= max_seconds and fits.num_tokens < max_tokens:
        if not trials.has_time_for(2 * fits.seconds):
            return _in_proportion(fits, max_seconds, max_tokens)
        larger = trials.of(min(2 * fits.num_tokens, max_tokens))
        if larger.seconds > max_seconds:
            return _narrowed(trials, fits, larger, max_seconds)
        fits = larger
    return fits


class _Trials:
    """Measures batches, each a few times, within a total time."""

    def __init__(self, seconds_of: SecondsOf) -> None:
        self._seconds_of = seconds_of
        self._spent = 0.0

    def of(self, num_tokens: int) -> Trial:
        """Measure a batch; other programs may disturb up to half of its rounds."""
        rounds: list[float] = []
        while len(rounds) < _ROUNDS and sum(rounds) < _ROUNDS_SECONDS:
            rounds.append(self._seconds_of(num_tokens))
        self._spent += sum(rounds)
        return Trial(num_tokens, median_low(rounds))

    def has_time_for(self, seconds: float) -> bool:
        return self._spent + seconds <= _SECONDS


def _narrowed(trials: _Trials, fits: Trial, too_large: Trial, max_seconds: float) -> Trial:
    while too_large.num_tokens - fits.num_tokens > max(1, int(_NEAR * fits.num_tokens)):
        if not trials.has_time_for(max_seconds):
            break
        between = trials.of(_between(fits, too_large, max_seconds))
        if between.seconds > max_seconds:
            too_large = between
        else:
            fits = between
    return fits


def _between(fits: Trial, too_large: Trial, max_seconds: float) -> int:
    """Interpolate linearly, away from both ends so that every trial narrows the interval."""
    gap = too_large.num_tokens - fits.num_tokens
    share = (max_seconds - fits.seconds) / (too_large.seconds - fits.seconds)
    return fits.num_tokens + max(1, int(gap * min(max(share, 0.125), 0.875)))


def _in_proportion(fits: Trial, max_seconds: float, max_tokens: int) -> Trial:
    num_tokens = min(max_tokens, int(fits.num_tokens * max_seconds / fits.seconds))
    return Trial(num_tokens, fits.seconds * num_tokens / fits.num_tokens)


class TrialBatches:
    """Packs and runs batches like those of real traffic, with a separate head for each text.

    A batch of short texts has the most heads, and one of long texts the most attention. The slower
    one counts. Must be called on the thread that owns the device.
    """

    def __init__(self, backbone: Backbone, pool: Tensor) -> None:
        self._backbone = backbone
        self._pool = pool  # (L, 2, C, H, D)
        self._slots = tuple(range(min(_PREFIX_LENGTH, pool.shape[2])))
        shape = (_NUM_OUTPUTS, backbone.fingerprint.hidden_size)
        self._output_weight = torch.zeros(shape, device=backbone.device)
        self._random = np.random.default_rng(0)

    def __call__(self, num_tokens: int) -> float:
        """Run batches of this many tokens, and return the seconds of the slowest."""
        longest = min(num_tokens, self._backbone.fingerprint.max_positions)
        lengths = {min(length, longest) for length in _TEXT_LENGTHS}
        return max(self._seconds(num_tokens, length) for length in sorted(lengths))

    def _seconds(self, num_tokens: int, length: int) -> float:
        ids = self._random.integers(self._backbone.fingerprint.vocab_size, size=num_tokens).tolist()
        texts = [ids[start : start + length] for start in range(0, num_tokens, length)]
        encoded = [EncodedText(tuple(text), (0,) * len(text)) for text in texts]
        heads = tuple(Head(HeadSpec(pooling="first_token"), self._output_weight) for _ in texts)
        started = time.perf_counter()
        rows = [self._backbone.row(text, slots=self._slots) for text in encoded]
        packed = self._backbone.pack(rows)
        MixedBatch(packed, heads).outputs(self._backbone, self._pool)  # waits for the device
        return time.perf_counter() - started
