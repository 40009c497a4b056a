"""The dependencies of handlers: authenticated routes, the server's services, and the caller."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from prefixes.registry import Actor
from server.api.access import check_access, is_inference, role_of
from server.api.auth import Caller, authenticate
from server.api.query_parameters import check_single, single_parameters
from server.api.rate_headers import rate_headers
from server.api.registry_state import see_state, state_headers
from server.api.services import Services
from server.api.session_cookie import SAFE_METHODS, authorization_of
from server.api.unicode_json import UnicodeRequest
from server.errors import KeyRequired
from server.limits.allowance import Allowance
from server.observability.logs import RequestRecord
from server.rates import RateState

WITHOUT_KEY: Final[dict[str, Any]] = {"security": [{}]}
"""Says in the OpenAPI document that a route also accepts requests without a key."""


class AuthenticatedRoute(APIRoute):
    """A route that identifies its caller, and checks its role, before it reads a byte of the body.

    It rejects callers without a key when no request of theirs can succeed.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler, which reads and parses the body."""
        handle = self.get_authenticated_handler()
        path, single = self.path, single_parameters(self.dependant)
        (role,) = {role_of(method, path) for method in self.methods or ()}
        is_managing = not any(is_inference(method, path) for method in self.methods or ())
        if role is None:
            self.openapi_extra = {**(self.openapi_extra or {}), **WITHOUT_KEY}

        async def handle_with_caller(request: Request) -> Response:
            header = self.authorization(request)
            state, services = request.state, request.app.state.services
            await see_state(request, services.registry.database)
            caller = await authenticate(header, services.keys)
            state.caller, state.authorization = caller, header
            state.record.tenant, state.record.key_id = caller.tenant, caller.key_id
            state.body.caller = caller.name
            state.body.max_upload_bytes = caller.max_upload_bytes
            if role is not None:
                check_access(role, path, caller, request.path_params)
            elif caller.identity is None and request.method not in SAFE_METHODS:
                await _check_public(services)
            if is_managing:
                state.rates = await _admit(caller, services)
            check_single(request, single)
            response = await handle(UnicodeRequest(request.scope, request.receive))
            response.headers.update(rate_headers(getattr(state, "rates", ())))
            if is_managing:
                response.headers.update(state_headers(request.method, services.registry.database))
            return response

        return handle_with_caller

    def authorization(self, request: Request) -> str | None:
        """Return the header with the API key, or that of a console's session; else None."""
        header = request.headers.get("authorization")
        return authorization_of(request) if header is None else header

    def get_authenticated_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of a request whose caller is known: FastAPI's own."""
        return super().get_route_handler()


async def _admit(caller: Caller, services: Services) -> tuple[RateState, ...]:
    """Charge a request that is not inference; raise LimitExceeded when it must wait."""
    allowance = Allowance.of_management(caller.identity, services.anonymous_limits)
    return await services.engine.admit_management(allowance) if allowance.accounts else ()


async def _check_public(services: Services) -> None:
    """Raise KeyRequired when no inference can succeed without a key."""
    if not await services.public.exist():
        raise KeyRequired("This server has no public prefixes. Send an API key.")


async def _services(request: Request) -> Services:
    # A coroutine, like those below: FastAPI would run a plain function on a thread.
    services: Services = request.app.state.services
    return services


async def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


async def _record(request: Request) -> RequestRecord:
    record: RequestRecord = request.state.record
    return record


async def _actor(request: Request) -> Actor:
    caller: Caller = request.state.caller
    return caller.actor(request.state.record.request_id)


ServicesDep = Annotated[Services, Depends(_services)]
CallerDep = Annotated[Caller, Depends(_caller)]
ActorDep = Annotated[Actor, Depends(_actor)]
RecordDep = Annotated[RequestRecord, Depends(_record)]

bearer = HTTPBearer(auto_error=False, description="An API key, `pp_...`; see `polyprefix key`.")
"""Documents the key in the OpenAPI document. `AuthenticatedRoute` checks it."""
