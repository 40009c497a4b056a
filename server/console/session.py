"""Sessions of the console: signing in turns an API key into a cookie."""

from typing import Final

from fastapi import APIRouter, Request, Response

from server.api.auth import authenticate, bearer_token
from server.api.dependencies import AuthenticatedRoute, CallerDep, ServicesDep
from server.api.me import CallerSummary
from server.api.session_cookie import authorization_of, delete_cookie, set_cookie
from server.errors import InvalidKey, TenantSuspended

PATH: Final = "/console/session"

sign_in_router = APIRouter(route_class=AuthenticatedRoute, include_in_schema=False)
open_router = APIRouter(include_in_schema=False)


@sign_in_router.post(PATH)
async def sign_in(request: Request, response: Response, caller: CallerDep) -> CallerSummary:
    """Set the cookie for the key in the `Authorization` header."""
    assert caller.identity is not None, "the route needs a key"
    key = bearer_token(request.state.authorization)
    assert key is not None, "the caller is authenticated"
    set_cookie(request, response, key)
    response.headers["Cache-Control"] = "no-store"
    return CallerSummary.of(caller.identity)


@open_router.get(PATH)
async def read_session(
    request: Request, response: Response, services: ServicesDep
) -> CallerSummary | None:
    """Describe the key of the cookie; null without a valid one, which this route allows."""
    response.headers["Cache-Control"] = "no-store"
    try:
        caller = await authenticate(authorization_of(request), services.keys)
    except (InvalidKey, TenantSuspended):
        return None
    return None if caller.identity is None else CallerSummary.of(caller.identity)


@open_router.delete(PATH, status_code=204)
async def sign_out(request: Request, response: Response) -> None:
    """Delete the cookie. The key itself stays valid."""
    delete_cookie(request, response)
