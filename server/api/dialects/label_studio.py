"""Label Studio's protocol for machine learning backends, with one URL for each task.

Label Studio asks for pre-annotations, and reports annotations, which become feedback.
"""

import base64
import binascii
from functools import partial

from fastapi import APIRouter, Depends, Request

from prefixes import PrefixRef, PrefixSpec
from prefixes.errors import InputRejected
from prefixes.lengths import AS_SERVED
from prefixes.registry import PrefixVersion
from server.api.dependencies import ActorDep, AuthenticatedRoute, ServicesDep, bearer
from server.api.dialects.label_studio_answers import regions_of, right_answer
from server.api.dialects.label_studio_config import Control, control_for, fields_of
from server.api.dialects.label_studio_schemas import (
    Health,
    Prediction,
    Predictions,
    PredictRequest,
    SetupRequest,
    SetupResponse,
    WebhookOutcome,
    WebhookRequest,
)
from server.api.inference import InferenceDep, InputItem
from server.api.problem_responses import responses
from server.api.services import Services
from server.api.training_feedback import start_on_feedback
from server.engine.recording.answers import content_of, margin_of
from server.engine.values import InferenceResult
from server.feedback.giving import FeedbackWriter
from server.feedback.right_answers import member_of


class LabelStudioRoute(AuthenticatedRoute):
    """A route that takes the API key as the password of basic authentication, too."""

    def authorization(self, request: Request) -> str | None:
        """Return the header, with a password as a bearer token."""
        header = super().authorization(request)
        password = None if header is None else _password(header)
        return header if password is None else f"Bearer {password}"


router = APIRouter(
    prefix="/label-studio/{tenant}/{task}",
    route_class=LabelStudioRoute,
    tags=["compatible"],
    dependencies=[Depends(bearer)],
    responses=responses(401, 403, 404, 422, 503),
)


@router.get("/health", summary="Check a task as Label Studio does")
async def health(tenant: str, task: str, inference: InferenceDep) -> Health:
    """Returns the version that answers now."""
    version = await inference.find(f"{tenant}/{task}")
    return Health(model_class=str(version.ref))


@router.post(
    "/setup", summary="Connect a project of Label Studio to a task", responses=responses(400, 413)
)
async def setup(
    tenant: str, task: str, body: SetupRequest, inference: InferenceDep, services: ServicesDep
) -> SetupResponse:
    """Checks that the labeling interface has a tag for the answers of the task."""
    version = await inference.find(f"{tenant}/{task}")
    if body.label_schema is not None:
        spec = await services.read(partial(services.registry.spec, version.digest))
        await services.render(partial(control_for, member_of(spec), body.label_schema))
    return SetupResponse(model_version=str(version.ref))


@router.post(
    "/predict",
    summary="Pre-annotate tasks of Label Studio",
    responses=responses(400, 413, 429, 504, 507),
)
async def predict(
    tenant: str, task: str, body: PredictRequest, inference: InferenceDep, services: ServicesDep
) -> Predictions:
    """`task` may have a version or an alias, such as `spam@3` or `spam:live`."""
    if not body.tasks:
        return Predictions(results=[], model_version=None)
    version = await inference.find(f"{tenant}/{task}")
    spec = await services.read(partial(services.registry.spec, version.digest))
    control = await services.render(partial(control_for, member_of(spec), body.label_config))
    items = [InputItem(fields_of(spec, one.data, control.variable)) for one in body.tasks]
    # By its number: the alias may move meanwhile.
    answers = await inference.run(items, model=str(version.ref), lengths=AS_SERVED)
    results = await inference.render(
        answers, lambda: [_prediction(control, answer) for answer in answers]
    )
    return Predictions(results=results, model_version=str(version.ref))


@router.post(
    "/webhook",
    summary="Receive events of Label Studio",
    status_code=201,
    responses=responses(400, 413, 429, 500),
)
async def webhook(
    tenant: str, task: str, body: WebhookRequest, services: ServicesDep, actor: ActorDep
) -> WebhookOutcome:
    """`ANNOTATION_CREATED` and `ANNOTATION_UPDATED` store the annotation as feedback.

    `START_TRAINING` starts a training on the feedback of the task. Other actions are ignored.
    """
    ref = PrefixRef.parse(f"{tenant}/{task}")
    version = await services.read(partial(services.registry.version, ref, reader=tenant))
    spec = await services.read(partial(services.registry.spec, version.digest))
    if body.action == "START_TRAINING":
        started = await start_on_feedback(services, ref, spec, actor)
        return WebhookOutcome(result=started)
    is_kept = body.annotation is not None and not body.annotation.was_cancelled
    if body.action not in {"ANNOTATION_CREATED", "ANNOTATION_UPDATED"} or not is_kept:
        return WebhookOutcome(result="ignored")
    await services.write(partial(_store, services, version, spec, body))
    return WebhookOutcome(result="stored")


def _prediction(control: Control, answer: InferenceResult) -> Prediction:
    content = content_of(answer)
    text = answer.sliced_text
    return Prediction(
        model_version=str(answer.version),
        score=content.scores[0][1] if content.scores else margin_of(answer),
        result=regions_of(control, content.answer, text),
    )


def _store(
    services: Services, version: PrefixVersion, spec: PrefixSpec, body: WebhookRequest
) -> None:
    """Store the annotation of an event as feedback."""
    project, task, annotation = body.project, body.task, body.annotation
    config = None if project is None else project.label_config
    if project is None or config is None or task is None or annotation is None:
        raise InputRejected(
            "The event has no `task`, or no `project.label_config`. Let the webhook of Label "
            "Studio send its payload."
        )
    member = member_of(spec)
    control = control_for(member, config)
    fields = fields_of(spec, task.data, control.variable)
    text = "" if spec.sliced_field is None else str(fields[spec.sliced_field])
    right = right_answer(member, control, annotation.result, text)
    request_id = f"label-studio.{_id(project.id)}.{_id(task.id)}"
    writer = FeedbackWriter(services.registry, services.answers, services.sealer)
    writer.annotate(version, fields, right, request_id=request_id)


def _id(value: object) -> str:
    """Return an id of Label Studio, a number of 64 bits, as a part of a request's id."""
    return str(value) if isinstance(value, int) and 0 <= value < 2**63 else "0"


def _password(authorization: str) -> str | None:
    """Return the password of a header for basic authentication; None for other headers."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        pair = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    return pair.partition(":")[2] or None
