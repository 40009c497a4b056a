"""How a request or an alias says that texts are read which are longer than their task allows."""

from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field, ValidationInfo

from prefixes.encoded import Merge
from prefixes.spec.parts import MAX_TOKENS

LongText = Literal["truncate", "windows"]
"""Whether only the beginning of a long text is read, or all of it in overlapping windows."""

T = TypeVar("T")


def _needs_windows(value: T, info: ValidationInfo) -> T:
    if value is not None and info.data.get("long_text") != "windows":
        raise ValueError('has no effect without `"long_text": "windows"`. Add it, or omit this.')
    return value


LongTextOption = Annotated[
    LongText | None,
    Field(
        description="How a text is read that is too long. truncate: only its beginning. windows: "
        "all of it, in overlapping windows, each of which counts as a text. Null selects what the "
        "alias or the task says, or else truncate."
    ),
]
StrideOption = Annotated[
    int | None,
    Field(
        ge=0,
        le=MAX_TOKENS,
        description="Number of tokens by which windows overlap, at most half of a window. Null "
        "selects that of the alias or the task.",
    ),
    AfterValidator(_needs_windows),
]
MergeOption = Annotated[
    Merge | None,
    Field(
        description="How the classifications of windows become one. mean: the mean of their "
        "probabilities, weighted by their tokens. max: the highest probability of each label. "
        "first: that of the first window; the others are not run. Null selects that "
        "of the alias or the task."
    ),
    AfterValidator(_needs_windows),
]
