"""ThresholdTarget: what the threshold of each label is fitted for."""

import re
from dataclasses import dataclass
from typing import Final, Literal, Self

Measure = Literal["f1", "precision", "recall"]

_BOUND: Final = re.compile(r"\s*(precision|recall)\s*>=\s*(\d+(?:\.\d*)?|\.\d+)\s*(%?)\s*")


@dataclass(frozen=True, slots=True)
class ThresholdTarget:
    """The best F1, or a `minimum` of precision or of recall with the most of the other."""

    measure: Measure
    minimum: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `f1`, `precision>=X` or `recall>=X`, with X from 0 to 1, or in percent.

        Raises:
            ValueError: when it has another form.
        """
        if text.strip() == "f1":
            return cls("f1")
        found = _BOUND.fullmatch(text)
        minimum = 2.0 if found is None else float(found[2]) / (100 if found[3] else 1)
        if found is None or not 0 < minimum <= 1:
            raise ValueError(
                f"Invalid threshold {text[:80]!r}: expected f1, precision>=X or recall>=X with X "
                "above 0 and at most 1, such as precision>=0.95"
            )
        return cls("precision" if found[1] == "precision" else "recall", minimum)

    def __str__(self) -> str:
        return self.measure if self.measure == "f1" else f"{self.measure}>={self.minimum:g}"
