"""LengthOptions: the handling of texts that are longer than their task allows."""

from dataclasses import dataclass, replace
from typing import Any, Final, Self

from prefixes.encoded import Merge
from prefixes.spec import AliasRuleSet, LongText, LongTexts, PrefixSpec, traits_of


@dataclass(frozen=True, slots=True)
class LengthOptions:
    """The choices of a caller for texts that are too long.

    `truncate` cuts off what is not read; otherwise such texts are rejected. The others override the
    settings of the alias and the task if they are set; `stride` and `merge` are those of
    `LongTexts`.
    """

    truncate: bool = True
    long_text: LongText | None = None
    stride: int | None = None
    merge: Merge | None = None

    def over(self, rules: AliasRuleSet | None) -> Self:
        """Fill in the rules of an alias where the caller leaves the choice to it."""
        if rules is None or rules.long_text is None:
            return self
        if self.long_text not in {None, rules.long_text}:
            return self
        return replace(
            self,
            long_text=rules.long_text,
            stride=rules.stride if self.stride is None else self.stride,
            merge=self.merge or rules.merge,
        )

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
