"""Rejection: the rule by which a single-label task abstains on texts outside of its labels."""

from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from prefixes.spec.parts import Finite
from prefixes.spec.vectors import Vectors
from prefixes.values import Value

MAX_DIMENSIONS: Final = 256

Kept = Annotated[float, Field(gt=0, lt=1)]


class Rejection(Value):
    """A text is rejected as out of scope if its score is below `cutoff`.

    The score of a text with logits `[C]` and features `[hidden]`, the input of the output layer, is

        logsumexp(logits) - min over c of |features @ projection - centers[c]|

    with `projection` `[hidden, r]` and `centers` `[C, r]`, the projected means of the labels. The
    score of a rule without vectors is the logsumexp alone, the negated free energy. `kept` is the
    share of in-scope texts for which the cutoff was calibrated.

    The energy score is that of Liu et al., "Energy-based Out-of-distribution Detection"
    (arXiv:2010.03759). The distance is that of Lee et al., "A Simple Unified Framework for
    Detecting Out-of-Distribution Samples" (arXiv:1807.03888), in the directions that distinguish
    labels best.
    """

    cutoff: Finite
    kept: Kept
    projection: Vectors | None = None
    centers: Vectors | None = None

    @model_validator(mode="after")
    def _has_both(self) -> Self:
        if (self.projection is None) != (self.centers is None):
            raise ValueError("projection and centers need each other: found one of them")
        if self.num_dimensions > MAX_DIMENSIONS:
            raise ValueError(f"at most {MAX_DIMENSIONS} dimensions, found {self.num_dimensions}")
        return self

    @property
    def num_dimensions(self) -> int:
        """The number of dimensions of the projection; 0 for a rule without vectors."""
        return 0 if self.projection is None else self.projection.shape[1]

    @property
    def num_bytes(self) -> int:
        """The approximate memory of the vectors."""
        return sum(2 * len(x.data) for x in (self.projection, self.centers) if x is not None)

    def problems(self, *, num_labels: int, hidden_size: int) -> list[str]:
        """List the shapes that do not fit the task and its backbone."""
        if self.projection is None or self.centers is None:
            return []
        return [
            f"decisions.rejection.{name} must have shape {list(expected)}, found {list(found)}"
            for name, expected, found in (
                ("projection", (hidden_size, self.num_dimensions), self.projection.shape),
                ("centers", (num_labels, self.num_dimensions), self.centers.shape),
            )
            if expected != found
        ]
