"""The rules that a request or an alias sets in place of those of a prefix file."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from prefixes.spec.long_text_options import LongTextOption, MergeOption, StrideOption
from prefixes.spec.parts import MAX_LABELS, Label, Threshold
from prefixes.values import Value, at_most


class AnswerRules(Value):
    """Rules by which scores become an answer. None leaves a rule as it is in the file."""

    thresholds: Annotated[dict[Label, Threshold] | None, at_most(MAX_LABELS)] = Field(
        default=None,
        description="The probability that a label must reach to be an answer, by label. A label "
        "that is omitted keeps its threshold.",
    )
    min_score: Threshold | None = Field(
        default=None,
        description="Minimum probability of an answer. Null keeps that of the alias or the task.",
    )
    abstain: bool | None = Field(
        default=None,
        description="Whether a text may have no answer. False always returns a label, and ignores "
        "`min_score` of the alias and the task, and the rejection rule of the task. Null keeps "
        "what the alias sets.",
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.abstain is False and self.min_score is not None:
            raise ValueError(
                "`abstain` false and `min_score` exclude each other, because an answer below the "
                "minimum is withheld: omit one of them"
            )
        return self

    @property
    def rules(self) -> "AnswerRules | None":
        """The rules without the other fields of a subclass; None if no rule is set."""
        if not self.has_rules:
            return None
        return AnswerRules(
            thresholds=self.thresholds, min_score=self.min_score, abstain=self.abstain
        )

    @property
    def has_rules(self) -> bool:
        """Whether any rule for answers is set."""
        rules = (self.thresholds, self.min_score, self.abstain)
        return any(one is not None for one in rules)


class AliasRuleSet(AnswerRules):
    """All rules of an alias: those of answers, and how long texts are read."""

    long_text: LongTextOption = None
    stride: StrideOption = None
    merge: MergeOption = None

    @property
    def is_empty(self) -> bool:
        return not self.has_rules and self.long_text is None
