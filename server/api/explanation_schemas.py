"""Wire models of explanations: the options of a request, and the explanation of a result."""

from typing import Annotated, Any, Literal, NotRequired, Self

from pydantic import Discriminator, Field, Tag, model_validator
from typing_extensions import TypedDict

from prefixes.occlusion import DEFAULT_PARTS, MAX_PARTS
from prefixes.template import MAX_PLACEHOLDERS
from prefixes.values import at_most
from server.api.schemas import StrictRequest, WireResponse

_Place = Annotated[int, Field(ge=0)]
_Span = Annotated[list[_Place], Field(fail_fast=True, min_length=2, max_length=2)]
_Spans = Annotated[list[_Span], Field(fail_fast=True, min_length=1), at_most(MAX_PARTS)]


def _kind(value: Any) -> str | None:
    match value:
        case list():
            return "(list)"
        case dict():
            return "(fields)"
        case _:
            return None


class ExplanationOptions(StrictRequest):
    """The options of a request for explanations of its classifications."""

    explain: Literal["occlusion"] | None = Field(
        default=None,
        description="Explain the answer: words are left out one at a time, and the response has "
        "the change of the label's logit for each. Each part left out counts as a text.",
    )
    explain_label: str | None = Field(
        default=None,
        description="The label to explain. Null selects the label of the answer, or else the label "
        "with the highest logit.",
    )
    explain_spans: (
        Annotated[
            Annotated[_Spans, Tag("(list)")]
            | Annotated[
                dict[str, _Spans],
                Field(min_length=1),
                at_most(MAX_PLACEHOLDERS),
                Tag("(fields)"),
            ],
            Discriminator(
                _kind,
                custom_error_type="bad_spans",
                custom_error_message="expected a list of [start, end], or an object with such a "
                "list for each field",
            ),
        ]
        | None
    ) = Field(
        default=None,
        description="The parts to leave out instead of words, in characters, as a list of "
        "[start, end]. For tasks with several fields: an object with a list for each field. For "
        "requests with one input.",
    )
    explain_max_parts: int | None = Field(
        default=None,
        ge=1,
        le=MAX_PARTS,
        description="Maximum number of parts of each input. If it has more words, adjacent words "
        f"are left out together. Null selects {DEFAULT_PARTS}.",
    )

    @model_validator(mode="after")
    def _has_use(self) -> Self:
        if self.explain is None:
            names = ("explain_label", "explain_spans", "explain_max_parts")
            given = [name for name in names if getattr(self, name) is not None]
            if given:
                raise ValueError(
                    f'`{given[0]}` has no effect without `explain`. Add "explain": "occlusion", or '
                    "omit it."
                )
        elif self.explain_spans is not None and self.explain_max_parts is not None:
            raise ValueError(
                "`explain_max_parts` limits the number of words, and `explain_spans` replaces "
                "words. Omit one of them."
            )
        return self


class ExplainedPart(TypedDict):
    """The characters `start` to `end` of a field, and the change of the logit without them.

    `change` is absent if no text would remain.
    """

    field: str
    start: int
    end: int
    text: str
    change: NotRequired[float]


class Explanation(WireResponse):
    """The changes of the logit of a label without each part of the input."""

    method: Literal["occlusion"] = "occlusion"
    label: str
    logit: float = Field(description="Logit of the label, or the value of a regression.")
    grouped: bool = Field(
        description="Whether adjacent words were left out together, because there are more words "
        "than `explain_max_parts`."
    )
    parts: list[ExplainedPart] = Field(
        description="In the order of the fields and of their text, or in that of `explain_spans`. "
        "A negative change means that the part supports the label."
    )
