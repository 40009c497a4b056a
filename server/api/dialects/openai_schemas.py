"""Wire models of OpenAI's embeddings and models."""

from typing import Literal

from pydantic import Field

from prefixes.lengths import LengthOptions
from prefixes.spec import LongTextOption, StrideOption, TaskType
from server.api.dialects.requests import TEXTS_OR_IDS, DialectRequest, Dimensions, TextsOrIds
from server.api.schemas import Model, WireResponse

EncodingFormat = Literal["float", "base64"]


class EmbeddingsRequest(DialectRequest):
    """The request of OpenAI, with `truncate`, `long_text` and `stride` added."""

    model: Model = None
    input: TextsOrIds = Field(description=TEXTS_OR_IDS)
    encoding_format: EncodingFormat | None = Field(default=None, description="Null means float.")
    dimensions: Dimensions = None
    user: str | None = None
    truncate: bool | None = Field(
        default=None,
        description="True cuts texts that are too long. Otherwise they are rejected.",
    )
    long_text: LongTextOption = None
    stride: StrideOption = None

    @property
    def lengths(self) -> LengthOptions:
        """The handling of texts that are too long."""
        return LengthOptions(self.truncate is True, self.long_text, self.stride)


class Embedding(WireResponse):
    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str = Field(description="Numbers, or base64 of little-endian float32.")


class EmbeddingsUsage(WireResponse):
    prompt_tokens: int
    total_tokens: int


class EmbeddingsTotal(WireResponse):
    model: str = Field(description="The version that was used, as `tenant/task@version`.")
    usage: EmbeddingsUsage


class EmbeddingsResponse(EmbeddingsTotal):
    object: Literal["list"] = "list"
    data: list[Embedding] = Field(description="In the order of the texts.")


class ModelCard(WireResponse):
    id: str = Field(description="A valid `model`.")
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    root: str = Field(description="The version that it names now.")
    parent: str | None = Field(
        description="The backbone. Null in the list of a server with several backbones."
    )
    task_type: TaskType = Field(description="Its task type, which determines the route to use.")


class ModelList(WireResponse):
    object: Literal["list"] = "list"
    data: list[ModelCard]
