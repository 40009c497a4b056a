"""The routes of feedback: right answers, what is recorded, and its deletion."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from prefixes.errors import AnswerNotFound
from prefixes.registry import FeedbackRule
from prefixes.registry.feedback_settings import FeedbackState
from prefixes.registry.recorded_answer_rows import RecordedAnswer
from prefixes.registry.recorded_answers import no_answer
from server.api.auth import Caller
from server.api.dependencies import ActorDep, AuthenticatedRoute, CallerDep, ServicesDep, bearer
from server.api.feedback_schemas import (
    DeletedAnswers,
    FeedbackRequest,
    FeedbackResult,
    FeedbackRuleRequest,
    FeedbackRuleState,
)
from server.api.problem_responses import responses
from server.api.services import Services
from server.errors import FeedbackRejected
from server.feedback.giving import FeedbackWriter

router = APIRouter(
    route_class=AuthenticatedRoute,
    tags=["feedback"],
    dependencies=[Depends(bearer)],
    responses=responses(401, 403, 404, 422, 503),
)


@router.post(
    "/v1/feedback", summary="Send the right answer to an input", responses=responses(400, 413)
)
async def give_feedback(
    body: FeedbackRequest, services: ServicesDep, caller: CallerDep
) -> FeedbackResult:
    """Send exactly one of `label`, `labels`, `value`, `entities`, `answer` and `choice`.

    A later right answer replaces an earlier one.
    """
    recorded = await _find(services, caller, body.request_id, body.index)
    writer = FeedbackWriter(services.registry, services.answers, services.sealer)
    give = partial(writer.give, recorded, body.answers(), is_review=body.is_review)
    is_contradicted = await services.write(give)
    return FeedbackResult(
        request_id=body.request_id,
        index=body.index,
        model=f"{recorded.tenant}/{recorded.task}@{recorded.version}",
        is_contradicted=is_contradicted,
    )


@router.delete(
    "/v1/feedback/{request_id}", summary="Retract the right answer to an input", status_code=204
)
async def retract_feedback(
    request_id: str,
    services: ServicesDep,
    caller: CallerDep,
    index: Annotated[
        int, Query(ge=0, lt=2**31, description="Index of the input in the request.")
    ] = 0,
) -> None:
    """The recorded answer stays, as if no right answer had been sent."""
    recorded = await _find(services, caller, request_id, index)
    await services.write(partial(services.answers.retract, recorded))


@router.get("/v1/tenants/{tenant}/feedback", summary="Show what a tenant records")
async def show_rule(tenant: str, services: ServicesDep) -> FeedbackRuleState:
    """Returns the settings, and how much is stored."""
    return _state(services, await services.read(partial(services.feedback.find, tenant)))


@router.put(
    "/v1/tenants/{tenant}/feedback",
    summary="Record answers and feedback, or stop",
    responses=responses(400, 413),
)
async def set_rule(
    tenant: str, body: FeedbackRuleRequest, services: ServicesDep, actor: ActorDep
) -> FeedbackRuleState:
    """Applies to the next request. Stopping deletes nothing."""
    longest = services.settings.max_feedback_days
    days = body.retention_days or min(FeedbackRule().retention_days, longest)
    if days > longest:
        raise FeedbackRejected(
            f"retention_days: the operator allows at most {longest:g}; found {days:g}."
        )
    rule = FeedbackRule(body.is_enabled, days, body.sample_percent)
    change = partial(services.feedback.set, tenant, rule, by=actor)
    return _state(services, await services.write(change))


@router.delete("/v1/tenants/{tenant}/feedback", summary="Delete all recorded answers of a tenant")
async def delete_all(tenant: str, services: ServicesDep, actor: ActorDep) -> DeletedAnswers:
    """Deletes texts, answers and feedback permanently. The settings stay."""
    number = await services.write(partial(services.feedback.delete, tenant, by=actor))
    return DeletedAnswers(num_answers=number)


@router.delete(
    "/v1/tenants/{tenant}/prefixes/{task}/feedback",
    summary="Delete all recorded answers of a prefix",
)
async def delete_of_task(
    tenant: str, task: str, services: ServicesDep, actor: ActorDep
) -> DeletedAnswers:
    """Deletes texts, answers and feedback permanently."""
    number = await services.write(partial(services.feedback.delete, tenant, task, by=actor))
    return DeletedAnswers(num_answers=number)


async def _find(services: Services, caller: Caller, request_id: str, place: int) -> RecordedAnswer:
    """Find an answer, also one that is not written yet."""
    if caller.tenant is None:  # an operator's requests are not recorded
        raise no_answer(request_id, place)
    find = partial(services.answers.find, caller.tenant, request_id, place)
    try:
        return await services.read(find)
    except AnswerNotFound:
        await services.engine.write_answers()
        return await services.read(find)


def _state(services: Services, state: FeedbackState) -> FeedbackRuleState:
    rule = state.rule
    return FeedbackRuleState(
        is_enabled=rule.is_enabled,
        retention_days=rule.retention_days,
        sample_percent=rule.sample_percent,
        is_encrypted=bool(services.settings.feedback_key_list),
        num_answers=state.num_answers,
        num_with_feedback=state.num_with_feedback,
        stored_bytes=state.num_bytes,
    )
