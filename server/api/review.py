"""The route of inputs that a person should label next."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from server.api.dependencies import AuthenticatedRoute, ServicesDep, bearer
from server.api.feedback_schemas import ReviewItem, ReviewList
from server.api.pages import PAGE_SIZE, PageSize, page_response
from server.api.problem_responses import responses
from server.api.services import Services
from server.feedback.review import CURSOR_PATTERN, Cursor, ReviewedAnswer, review

router = APIRouter(
    route_class=AuthenticatedRoute,
    tags=["feedback"],
    dependencies=[Depends(bearer)],
    responses=responses(401, 403, 404, 422, 500, 503),
)


@router.get(
    "/v1/tenants/{tenant}/prefixes/{task}/review",
    summary="List the inputs of a prefix to label next",
    response_model=ReviewList,
)
async def list_review(
    tenant: str,
    task: str,
    services: ServicesDep,
    after: Annotated[str | None, Query(max_length=64, pattern=CURSOR_PATTERN)] = None,
    limit: PageSize = PAGE_SIZE,
) -> Response:
    """Answers that feedback contradicts, then disagreements with a shadow, then small margins.

    Of inputs that resemble each other or a labeled one, only the first is listed. Send the right
    answer with POST /v1/feedback and `is_review`. `next` is the path of the next page.
    """
    await services.engine.write_answers()
    return await page_response(services, partial(_page, services, tenant, task, after, limit))


def _page(services: Services, tenant: str, task: str, after: str | None, limit: int) -> ReviewList:
    found = review(
        services.answers,
        services.sealer,
        tenant,
        task,
        limit=limit,
        after=None if after is None else Cursor.parse(after),
    )
    path = f"/v1/tenants/{tenant}/prefixes/{task}/review?limit={limit}&after={found.next}"
    return ReviewList(
        items=[_item(one) for one in found.answers],
        num_duplicates=found.num_duplicates,
        num_unreadable=found.num_unreadable,
        next=None if found.next is None else path,
    )


def _item(one: ReviewedAnswer) -> ReviewItem:
    recorded, content = one.recorded, one.content
    task = f"{recorded.tenant}/{recorded.task}"
    other = recorded.other_version
    return ReviewItem(
        request_id=recorded.request_id,
        index=recorded.place,
        model=f"{task}@{recorded.version}",
        answered_at=recorded.answered_at,
        reason=one.reason,
        other_model=None if other is None else f"{task}@{other}",
        input=dict(content.fields),
        answer=dict(content.answer),
        scores=[{"label": label, "score": score} for label, score in content.scores],
        margin=recorded.margin,
        feedback=None if one.feedback is None else dict(one.feedback),
    )
