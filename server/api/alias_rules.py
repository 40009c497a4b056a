"""The routes of the rules of an alias: show, set and delete."""

from functools import partial
from typing import Final, Self

from fastapi import APIRouter, Depends, Response
from pydantic import Field, model_validator

from prefixes.encoded import Merge
from prefixes.registry import AliasRuleState
from prefixes.spec import AliasRuleSet, LongText
from server.api.dependencies import ActorDep, AuthenticatedRoute, ServicesDep, bearer
from server.api.preconditions import IfMatch, IfNoneMatch, etag, revision_check, with_etag
from server.api.problem_responses import responses
from server.api.schemas import StrictRequest, WireResponse
from server.errors import RulesChanged

router = APIRouter(
    prefix="/v1/tenants/{tenant}/prefixes/{task}/aliases/{alias}/rules",
    route_class=AuthenticatedRoute,
    tags=["prefixes"],
    dependencies=[Depends(bearer)],
    responses=responses(401, 403, 404, 422, 503),
)

_check: Final = partial(revision_check, noun="rules", error=RulesChanged)
_WITH_ETAG: Final = with_etag("The state of the rules, which every change replaces, in quotes.")


class RulesRequest(StrictRequest, AliasRuleSet):
    """All rules of the alias. Those that are omitted are those of the file."""

    @model_validator(mode="after")
    def _sets_something(self) -> Self:
        if self.is_empty:
            raise ValueError(
                "no rule is set: set `thresholds`, `min_score`, `abstain` or `long_text`"
            )
        return self


class RulesState(WireResponse):
    version: int = Field(description="The version that the rules belong to.")
    thresholds: dict[str, float] | None
    min_score: float | None
    abstain: bool | None
    long_text: LongText | None
    stride: int | None
    merge: Merge | None


@router.get("", summary="Show the rules of an alias", responses=_WITH_ETAG)
async def show_rules(
    tenant: str, task: str, alias: str, response: Response, services: ServicesDep
) -> RulesState:
    """Returns the rules that replace those of the file. Rules that are null are those of it."""
    state = await services.read(partial(services.alias_rules.find, tenant, task, alias))
    return _with_etag(state, response)


@router.put(
    "",
    summary="Set the rules of an alias",
    responses={**_WITH_ETAG, **responses(400, 412)},
)
async def set_rules(  # noqa: PLR0917 - FastAPI passes all by name
    tenant: str,
    task: str,
    alias: str,
    body: RulesRequest,
    response: Response,
    services: ServicesDep,
    actor: ActorDep,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> RulesState:
    """Requests after the response use them, until the alias moves to another version."""
    rules = AliasRuleSet(**body.model_dump())
    check = _check(if_match, if_none_match)
    change = partial(services.alias_rules.set, tenant, task, alias, rules, check=check, by=actor)
    return _with_etag(await services.write(change), response)


@router.delete(
    "", summary="Delete the rules of an alias", status_code=204, responses=responses(400, 412)
)
async def delete_rules(  # noqa: PLR0917 - FastAPI passes all by name
    tenant: str,
    task: str,
    alias: str,
    services: ServicesDep,
    actor: ActorDep,
    if_match: IfMatch = None,
) -> None:
    """The rules of the prefix file apply again."""
    check = _check(if_match, None)
    remove = partial(services.alias_rules.remove, tenant, task, alias, check=check, by=actor)
    await services.write(remove)


def _with_etag(state: AliasRuleState, response: Response) -> RulesState:
    response.headers["ETag"] = etag(state.revision)
    return RulesState(version=state.version, **state.rules.model_dump())
