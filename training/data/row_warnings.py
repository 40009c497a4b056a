"""Warnings about valid rows, given before training. They reject nothing.

Every warning is one sentence with a count, which names a few of the rows.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from prefixes.encoded import EncodedInput
from training.errors import at, few
from training.examples import Examples, Input, identity, wording
from training.files.rows import RowFile
from training.sources import place_in
from training.tasks import TaskDefinition

Ints = NDArray[np.int64]

_SKEWED: Final = 10
"""Maximum ratio of the most frequent to the rarest label without a warning."""
_FEW: Final = 2
_MANY_LABELS: Final = 20
_FEW_ROWS: Final = 20
_NAMED: Final = 3


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The rows of a source, with one example per row."""

    file: RowFile
    examples: Examples[Any]

    @property
    def name(self) -> str:
        return self.file.path.name

    def at(self, rows: Sequence[int]) -> str:
        """Describe the positions of rows."""
        return at(self.file.path, [self.file.rows.lines[row] for row in rows])

    def place(self, row: int) -> str:
        """Describe the position of one row."""
        return f"{place_in(self.file.path)} {self.file.rows.lines[row]}"


def row_warnings(
    definition: TaskDefinition[Any],
    labels: Sequence[str],
    train: Part,
    others: Sequence[Part],
    *,
    remedy: str | None,
) -> tuple[str, ...]:
    """Check the rows of a task.

    `others` are the rows of other parts. `remedy` says what helps against rare labels; without it,
    rare labels give no warning.
    """
    counts = definition.label_counts(labels, train.examples.truths) or {}
    return (
        *_repeats(definition, train),
        *_leaks(train, others),
        *_many(train, counts),
        *_rare(train.name, counts),
        *(() if remedy is None else _skew(train.name, counts, remedy)),
    )


def validation_warnings(
    definition: TaskDefinition[Any],
    labels: Sequence[str],
    train: Examples[Any],
    validation: Examples[Any],
) -> tuple[str, ...]:
    """Check the rows that select the best step."""
    counts = definition.label_counts(labels, validation.truths) or {}
    learned = definition.label_counts(labels, train.truths) or {}
    held = [label for label, count in counts.items() if count]
    missing = [repr(label) for label, count in learned.items() if count and not counts[label]]
    warnings = []
    if len(validation) < _FEW_ROWS:
        warnings.append(
            f"the validation part has {len(validation)} row(s): metrics of fewer than {_FEW_ROWS} "
            "rows are mostly chance"
        )
    if missing and len(held) == 1:
        warnings.append(
            f"the validation part has only one label, {held[0]!r}: its metrics do not show "
            "whether any other label is learned"
        )
    elif missing:
        warnings.append(f"labels without a validation row: {few(missing)}")
    return tuple(warnings)


def cut_off(encoded: Sequence[EncodedInput], max_length: int) -> tuple[str, ...]:
    """Warn about truncated inputs."""
    count = sum(any(text.is_truncated for text in texts) for texts in encoded)
    if not count:
        return ()
    share = count / len(encoded)
    cut = f"{count} of {len(encoded)} training inputs ({share:.1%})"
    return (f"{cut} are cut off at max_length {max_length}",)


def _keys(values: Iterable[Hashable]) -> Ints:
    """Return a hash for each value. The values would take too much memory."""
    return np.fromiter(map(hash, values), np.int64)


def _firsts(keys: Ints) -> Ints:
    """Return for each row the first row with the same key."""
    _, firsts, groups = np.unique(keys, return_index=True, return_inverse=True)
    return firsts[groups]


def _repeats(definition: TaskDefinition[Any], part: Part) -> Iterator[str]:
    """Warn about rows with the same input, with another label or the same."""
    truths = part.examples.truths
    # If truths refer to characters, texts with different spacing are different inputs.
    same_input: Callable[[Input], Hashable] = identity if definition.points_into_text else wording
    firsts = _firsts(_keys(map(same_input, part.examples.inputs)))
    later = np.flatnonzero(firsts != np.arange(len(firsts))).tolist()
    against = [row for row in later if definition.contradicts(truths[row], truths[firsts[row]])]
    if against:
        yield (
            f"{part.name}: {_rows(against)} labeled differently from an earlier row with the "
            f"same input: {_pairs(part, against, part, firsts[against])}"
        )
    same = [row for row in later if truths[row] == truths[firsts[row]]]
    if same:
        yield f"{part.name}: {len(same)} row(s) repeat an earlier one, {part.at(same)}"


def _leaks(train: Part, others: Sequence[Part]) -> Iterator[str]:
    """Warn about rows that an earlier part contains too. Each is reported once."""
    origins = [(train, _wordings(train), "show memorization")]
    for other in others:
        keys = _wordings(other)
        rows = np.arange(len(keys))
        for origin, origin_keys, what in origins:
            known, firsts = np.unique(origin_keys, return_index=True)
            places = np.searchsorted(known, keys[rows]).clip(max=len(known) - 1)
            is_seen = known[places] == keys[rows]
            seen = rows[is_seen]
            if len(seen):
                yield (
                    f"{other.name}: {_rows(seen)} also in {origin.name}, of "
                    f"{len(other.examples)}: metrics on them {what}: "
                    f"{_pairs(other, seen, origin, firsts[places[is_seen]])}"
                )
            rows = rows[~is_seen]
        origins.append((other, keys, "are biased, because these rows selected the best step"))


def _wordings(part: Part) -> Ints:
    return _keys(map(wording, part.examples.inputs))


def _many(train: Part, counts: Mapping[str, int]) -> Iterator[str]:
    """Warn about single labels that are different in most rows."""
    num_labels, num_rows = len(counts), len(train.examples)
    has_one_each = all(isinstance(truth, int) for truth in train.examples.truths)
    if has_one_each and num_labels > max(_MANY_LABELS, num_rows / 2):
        yield (
            f"{train.name}: {num_labels} labels for {num_rows} rows: is the label column a number "
            "(problem_type = regression) or a text?"
        )


def _rare(name: str, counts: Mapping[str, int]) -> Iterator[str]:
    rare = [f"{label!r} ({count})" for label, count in counts.items() if count < _FEW]
    if rare:
        yield f"{name}: labels that occur fewer than {_FEW} times: {few(rare)}"


def _skew(name: str, counts: Mapping[str, int], remedy: str) -> Iterator[str]:
    occurring = {label: count for label, count in counts.items() if count}
    if not occurring:
        return
    rarest, usual = (choose(occurring, key=occurring.__getitem__) for choose in (min, max))
    if occurring[usual] > _SKEWED * occurring[rarest]:
        yield (
            f"{name}: the label {rarest!r} occurs {occurring[rarest]} time(s), {usual!r} "
            f"{occurring[usual]} times: consider {remedy}"
        )


def _rows(rows: Sequence[int] | Ints) -> str:
    return f"{len(rows)} row is" if len(rows) == 1 else f"{len(rows)} rows are"


def _pairs(part: Part, rows: Sequence[int] | Ints, origin: Part, others: Ints) -> str:
    """Describe rows of a part, each with the matching row of another part."""
    pairs = zip(rows[:_NAMED], others[:_NAMED], strict=True)
    named = [f"{part.place(row)} ({origin.place(other)})" for row, other in pairs]
    return few(named, len(rows))
