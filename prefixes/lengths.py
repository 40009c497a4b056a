"""LengthOptions: the handling of texts that are longer than their task allows."""

from dataclasses import dataclass
from typing import Any, Final, Literal

from prefixes.encoded import Merge
from prefixes.spec import LongTexts, PrefixSpec, traits_of

LongText = Literal["truncate", "windows"]
"""Whether only the beginning of a long text is read, or all of it in overlapping windows."""


@dataclass(frozen=True, slots=True)
class LengthOptions:
    """The choices of a caller for texts that are too long.

    `truncate` cuts off what is not read; otherwise such texts are rejected. The others override the
    task's own setting if they are set; `stride` and `merge` are those of `LongTexts`.
    """

    truncate: bool = True
    long_text: LongText | None = None
    stride: int | None = None
    merge: Merge | None = None

    def windows_of(self, spec: PrefixSpec) -> LongTexts | None:
        """Return how long texts of a task are cut into windows; None if they are not."""
        own = None if spec.decisions is None else spec.decisions.long_texts
        if self.long_text is None:
            return own
        traits = traits_of(spec.task_type)
        if self.long_text == "truncate" or not traits.may_have_windows:
            return None
        given: dict[str, Any] = {}
        if self.stride is not None:
            given["stride"] = self.stride
        if self.merge is not None and spec.task_type == "sequence_classification":
            given["merge"] = self.merge
        return (own or LongTexts()).model_copy(update=given)


AS_SERVED: Final = LengthOptions()
"""Leaves everything to the task."""

BEGINNING: Final = LengthOptions(long_text="truncate")
"""Reads the beginning of a text, as for the rows of a training and for golden examples."""
