"""The route that describes the key of its caller."""

from datetime import UTC, datetime
from math import isfinite

from fastapi import APIRouter, Depends

from prefixes.registry import Identity, Role
from server.api.dependencies import AuthenticatedRoute, CallerDep, bearer
from server.api.problem_responses import responses
from server.api.schemas import WireResponse

router = APIRouter(
    route_class=AuthenticatedRoute,
    tags=["keys"],
    dependencies=[Depends(bearer)],
    responses=responses(401, 403, 500, 503),
)


class CallerSummary(WireResponse):
    """`tenant` is null for a key of an operator, and `expires_at` for a key that never expires."""

    tenant: str | None
    role: Role
    key_id: str
    expires_at: datetime | None

    @classmethod
    def of(cls, identity: Identity) -> "CallerSummary":
        expires_at = None
        if isfinite(identity.expires_at):
            expires_at = datetime.fromtimestamp(identity.expires_at, UTC)
        return cls(
            tenant=identity.tenant,
            role=identity.role,
            key_id=identity.key_id,
            expires_at=expires_at,
        )


@router.get("/v1/me", summary="Describe the key of the request")
async def read_me(caller: CallerDep) -> CallerSummary:
    """Returns the tenant and the role of the key that the request carries."""
    assert caller.identity is not None, "the route needs a key"
    return CallerSummary.of(caller.identity)
