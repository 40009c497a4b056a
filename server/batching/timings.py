"""Timings: how long a text was tokenized and queued, and how long its batch ran."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class BatchSize:
    """The numbers of texts, of tokens, and of different prefixes in a batch."""

    rows: int
    tokens: int
    distinct_prefixes: int


UNKNOWN_SIZE: Final = BatchSize(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds in the queue, on the device, and in the tokenizer before that.

    The batch started at `started_at` of `time.perf_counter`, which all processes of a machine
    share.
    """

    queue_seconds: float
    device_seconds: float
    tokenize_seconds: float = 0.0
    started_at: float = 0.0
    batch: BatchSize = UNKNOWN_SIZE
