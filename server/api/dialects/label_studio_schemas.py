"""Wire models of Label Studio's protocol for machine learning backends."""

from typing import Annotated, Any

from pydantic import Field, JsonValue

from prefixes.values import at_most
from server.api.dialects.requests import DialectRequest
from server.api.schemas import MAX_INPUTS, WireResponse

LabelConfig = Annotated[str, Field(description="The labeling interface, as XML.")]


class Health(WireResponse):
    status: str = "UP"
    model_class: str = Field(description="The version that answers now.")


class SetupRequest(DialectRequest):
    project: JsonValue = None
    label_schema: LabelConfig | None = Field(default=None, validation_alias="schema")


class SetupResponse(WireResponse):
    model_version: str


class LabelStudioTask(DialectRequest):
    id: JsonValue = None
    data: dict[str, JsonValue] = Field(description="The texts, by the names in the interface.")


class PredictRequest(DialectRequest):
    tasks: Annotated[list[LabelStudioTask], at_most(MAX_INPUTS)]
    label_config: LabelConfig
    project: JsonValue = None


class Prediction(WireResponse):
    model_version: str
    score: float | None = Field(description="Probability of the least certain answer.")
    result: list[dict[str, Any]] = Field(description="The regions of the pre-annotation.")


class Predictions(WireResponse):
    results: list[Prediction]
    model_version: str | None


class Annotation(DialectRequest):
    result: Annotated[list[dict[str, JsonValue]], at_most(10_000)] = Field(default_factory=list)
    was_cancelled: bool | None = None


class Project(DialectRequest):
    id: JsonValue = None
    label_config: LabelConfig | None = None


class WebhookRequest(DialectRequest):
    action: str = Field(max_length=100)
    annotation: Annotation | None = None
    task: LabelStudioTask | None = None
    project: Project | None = None


class WebhookOutcome(WireResponse):
    result: str = Field(description="`stored`, `ignored`, or the path of the started training.")
