"""ServedTexts: the rows of a head as a server reads them, with long texts in windows."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Self

import numpy as np
from numpy.typing import NDArray

from prefixes import PrefixSpec
from prefixes.answers import whole_outputs
from prefixes.backbone import EncodedInput
from training.few_shot.features import Features

LongRows = Mapping[int, EncodedInput]
"""The windows of each row that has several, by the number of the row."""


@dataclass(frozen=True, slots=True, eq=False)
class ServedTexts:
    """The m texts that a server runs for n rows: one of each short row, then those of `windows`.

    `features` are those of the texts, `[m, hidden]`, and `rows` the numbers of their rows, `[m]`.
    """

    features: Features
    rows: NDArray[np.int64]
    spec: PrefixSpec | None = None
    windows: tuple[EncodedInput, ...] = ()

    @classmethod
    def of_short_rows(cls, features: Features) -> Self:
        """Describe rows of one text each, with features `[n, hidden]`."""
        return cls(features, np.arange(len(features)))

    @classmethod
    def of_rows(
        cls, spec: PrefixSpec, features: Features, long_rows: LongRows, windows: Features
    ) -> Self:
        """Replace the texts of long rows with their windows.

        Args:
            spec: description of the task.
            features: of the beginning of each row, `[n, hidden]`.
            long_rows: the windows of long rows.
            windows: the features of these windows, end to end.
        """
        if not long_rows:
            return cls.of_short_rows(features)
        short = [row for row in range(len(features)) if row not in long_rows]
        rows = [*short, *chain(*([row] * len(texts) for row, texts in long_rows.items()))]
        return cls(
            np.concatenate([features[short], windows]),
            np.array(rows, np.int64),
            spec,
            tuple(long_rows.values()),
        )

    def merged(self, logits: Features) -> Features:
        """Return the logits `[n, C]` of the rows from those of their texts, `[m, C]`."""
        if self.spec is None:
            return logits
        start = len(self.rows) - sum(map(len, self.windows))
        rows = np.empty((start + len(self.windows), logits.shape[1]))
        rows[self.rows[:start]] = logits[:start]
        for texts in self.windows:
            end = start + len(texts)
            (rows[self.rows[start]],) = whole_outputs(self.spec, texts, [*logits[start:end]])
            start = end
        return rows
