"""Latency: the largest batch that a target leaves time for, found by trying at start."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median_low
from typing import Final

import numpy as np
import torch
from torch import Tensor

from prefixes.backbone import Backbone, MixedBatch, PackedBatch
from prefixes.backbone.heads import Head
from prefixes.encoded import EncodedText
from prefixes.spec import HeadSpec
from server.batching.scheduler import BatchLimits

_log = logging.getLogger(__name__)

SecondsOf = Callable[[int], float]
"""Runs a batch of so many tokens, and says how many seconds it took."""

_SMALLEST: Final = 16
"""Tokens of the first trial. A longer text goes alone anyway, so a lower limit gains nothing."""

_BATCHES_PER_TARGET: Final = 2.5
"""A text waits for the batch that runs, and then for its own; half as much time as a batch takes is
left for reading the request, tokenizing and answering.
"""

_SECONDS: Final = 1.0
_ROUNDS: Final = 5
_ROUNDS_SECONDS: Final = 0.1
_NEAR: Final = 0.1
"""The search ends when a tenth more tokens would be too many."""

_TEXT_LENGTHS: Final = (20, 128)
_PREFIX_LENGTH: Final = 16
_NUM_OUTPUTS: Final = 8


@dataclass(frozen=True, slots=True)
class Trial:
    """A batch of `num_tokens`, and the seconds that it takes."""

    num_tokens: int
    seconds: float


def limits_within(limits: BatchLimits, target_seconds: float, seconds_of: SecondsOf) -> BatchLimits:
    """Lower a batch's most tokens to what keeps a text's time in the server within a target.

    What comes of it is logged, and so is a target that no batch can hold.

    Args:
        limits: the bounds of the operator, which are never exceeded.
        target_seconds: what a text may take that finds one batch running and none waiting.
        seconds_of: called some dozens of times, for about two seconds in all.
    """
    _log.info("measuring how large a batch a target of %.4g ms allows", target_seconds * 1000)
    seconds_of(min(_SMALLEST, limits.max_tokens))  # the first sets things up
    most_seconds = target_seconds / _BATCHES_PER_TARGET
    found = largest_within(seconds_of, most_seconds, limits.max_tokens)
    if found.seconds > most_seconds:
        _log.warning(
            "the target of %.4g ms cannot be held: even batches of %d tokens take %.3g ms each, "
            "and a text waits for one and then for its own; the server goes on with these: set "
            "target_latency_ms to %.3g or more, or take a faster device or a smaller backbone",
            *(target_seconds * 1000, found.num_tokens, found.seconds * 1000),
            _BATCHES_PER_TARGET * found.seconds * 1000,
        )
    else:
        _log.info(
            "batches have at most %d tokens, which take %.3g ms",
            *(found.num_tokens, found.seconds * 1000),
        )
    return replace(limits, max_tokens=found.num_tokens)


def largest_within(seconds_of: SecondsOf, most_seconds: float, most_tokens: int) -> Trial:
    """Search the largest batch that takes at most so long; the smallest where even that is longer.

    It doubles the tokens until they take too long, then narrows down in between. The answer was
    tried itself, unless time ran out while doubling: then it is in proportion to the largest that
    was tried, which is on the safe side as long as a part of the time is the same for any batch.
    """
    trials = _Trials(seconds_of)
    fits = trials.of(min(_SMALLEST, most_tokens))
    while fits.seconds <= most_seconds and fits.num_tokens < most_tokens:
        if not trials.has_time_for(2 * fits.seconds):
            return _in_proportion(fits, most_seconds, most_tokens)
        larger = trials.of(min(2 * fits.num_tokens, most_tokens))
        if larger.seconds > most_seconds:
            return _narrowed(trials, fits, larger, most_seconds)
        fits = larger
    return fits


class _Trials:
    """Tries batches, each a few times, and keeps account of the time."""

    def __init__(self, seconds_of: SecondsOf) -> None:
        self._seconds_of = seconds_of
        self._spent = 0.0

    def of(self, num_tokens: int) -> Trial:
        """Try a batch; other programs may disturb up to half of its rounds."""
        rounds: list[float] = []
        while len(rounds) < _ROUNDS and sum(rounds) < _ROUNDS_SECONDS:
            rounds.append(self._seconds_of(num_tokens))
        self._spent += sum(rounds)
        return Trial(num_tokens, median_low(rounds))

    def has_time_for(self, seconds: float) -> bool:
        return self._spent + seconds <= _SECONDS


def _narrowed(trials: _Trials, fits: Trial, too_large: Trial, most_seconds: float) -> Trial:
    while too_large.num_tokens - fits.num_tokens > max(1, int(_NEAR * fits.num_tokens)):
        if not trials.has_time_for(most_seconds):
            break
        between = trials.of(_between(fits, too_large, most_seconds))
        if between.seconds > most_seconds:
            too_large = between
        else:
            fits = between
    return fits


def _between(fits: Trial, too_large: Trial, most_seconds: float) -> int:
    """Guess where a straight line meets the bound, away from both ends: each trial must help."""
    gap = too_large.num_tokens - fits.num_tokens
    share = (most_seconds - fits.seconds) / (too_large.seconds - fits.seconds)
    return fits.num_tokens + max(1, int(gap * min(max(share, 0.125), 0.875)))


def _in_proportion(fits: Trial, most_seconds: float, most_tokens: int) -> Trial:
    num_tokens = min(most_tokens, int(fits.num_tokens * most_seconds / fits.seconds))
    return Trial(num_tokens, fits.seconds * num_tokens / fits.num_tokens)


class TrialBatches:
    """Packs and runs batches such as traffic brings, every text with a head of its own.

    A batch of short texts has the most heads, one of long texts the most attention: the slower
    of both counts. Call it from the thread that owns the device.
    """

    def __init__(self, backbone: Backbone, pool: Tensor) -> None:
        self._backbone = backbone
        self._pool = pool  # (L, 2, C, H, D)
        self._slots = tuple(range(min(_PREFIX_LENGTH, pool.shape[2])))
        shape = (_NUM_OUTPUTS, backbone.fingerprint.hidden_size)
        self._output_weight = torch.zeros(shape, device=backbone.device)
        self._random = np.random.default_rng(0)

    def __call__(self, num_tokens: int) -> float:
        """Run batches of so many tokens; gives the seconds of the slowest."""
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
        packed = PackedBatch.pack(rows, self._backbone.device)
        MixedBatch(packed, heads).outputs(self._backbone, self._pool)  # waits for the device
        return time.perf_counter() - started
