"""Hooks of schemathesis: they send each request as one of several callers, and check each error."""

import random
from typing import Any, Final

import schemathesis
from schemathesis import Case, CheckContext, HookContext, Response, SerializationContext
from schemathesis.core.failures import Failure
from schemathesis.core.parameters import ParameterLocation
from schemathesis.transport.serialization import serialize_binary

from server import media_types
from server.api.middleware.security_headers import HEADERS
from server.api.statuses import HTTP_CODES, STATUS
from tests.fuzz.world import OTHER, OWNER, TENSOR, WEBHOOK, World, chance_of

SPARE_KEY: Final = "spare-key"
FINISHED_TRAINING: Final = "finished-training"
SOME_VERSION: Final = 999_999
"""Values that stand for an id or a number which is known only when a request is sent."""

_MEMBERS: Final = frozenset({"type", "title", "status", "detail", "code"})
_CODES: Final = (
    frozenset(kind.code for kind in STATUS if hasattr(kind, "code"))
    | frozenset(HTTP_CODES.values())
    | {"invalid_request"}
)
_DELETE_VERSION: Final = "DELETE /v1/tenants/{tenant}/prefixes/{task}/versions/"
_CONDITIONS: Final = ("If-Match", "If-None-Match", "Idempotency-Key")
_SHARE_WITHOUT_CONDITIONS: Final = 0.7
_SHARE_OF_REAL_OBJECTS: Final = 0.5
_SHARE_OF_REAL_FILES: Final = 0.7

_UNKNOWN_HEADER: Final = "in header - object with unexpected properties"
"""Part of a message that reports no failure: HTTP allows headers that a route does not know."""

AnyCase = Case[Any]


class Hooks:
    """The hooks of one run. They count requests, and note each route that accepted one."""

    def __init__(self, world: World) -> None:
        self.num_cases = 0
        self.reached: set[str] = set()
        self._world = world

    def install(self) -> None:
        """Register the hooks and the check with schemathesis, which accepts functions only."""

        @schemathesis.hook
        def before_call(context: HookContext, case: AnyCase, kwargs: dict[str, Any]) -> None:
            self._prepare(case)

        @schemathesis.hook
        def after_call(context: HookContext, case: AnyCase, response: Response) -> None:
            self._follow(case, response)

        @schemathesis.hook
        def filter_failure(
            context: HookContext, failure: Failure, case: AnyCase, response: Response
        ) -> bool:
            return _UNKNOWN_HEADER not in failure.message.lower()

        @schemathesis.serializer(media_types.JSONL, media_types.NDJSON, media_types.PARQUET)
        def send_file(context: SerializationContext, value: Any) -> bytes:
            return serialize_binary(value)

        schemathesis.check(errors_have_one_shape)

    def _prepare(self, case: AnyCase) -> None:
        """Choose the sender, and put real ids and real files into the request.

        A route that has accepted no request yet always gets a sender and objects that it accepts.
        """
        fingerprint = repr((case.method, case.path, case.path_parameters, case.query, case.body))
        is_new = _route_of(case) not in self.reached
        chance = chance_of(fingerprint)
        self._choose_sender(case, f"{self.num_cases} {fingerprint}", is_new=is_new)
        if is_new or chance.random() < _SHARE_WITHOUT_CONDITIONS:
            for name in _CONDITIONS:
                case.headers.pop(name, None)
        if is_new or chance.random() < _SHARE_OF_REAL_OBJECTS:
            self._put_real_objects(case)
        self._put_real_ids(case)
        self._put_real_file(case, chance, is_new=is_new)

    def _choose_sender(self, case: AnyCase, fingerprint: str, *, is_new: bool) -> None:
        world = self._world
        key = world.key_for(_route_of(case)) if is_new else world.sender(fingerprint)
        if key is not None:
            case.headers["Authorization"] = f"Bearer {key}"

    def _put_real_objects(self, case: AnyCase) -> None:
        """Name objects that requests rarely meet by chance, and a body that fits them.

        What is invalid on purpose stays: schemathesis expects it to be rejected.
        """
        if isinstance(case.path_parameters, dict) and not _is_invalid(case, ParameterLocation.PATH):
            real = self._objects_of(_route_of(case))
            names = case.path_parameters.keys()
            case.path_parameters |= {name: real[name] for name in names if name in real}
        body = self._body_of(_route_of(case), case.path_parameters or {})
        if body is not None and not _is_invalid(case, ParameterLocation.BODY):
            case.body = body

    def _objects_of(self, route: str) -> dict[str, str | int]:
        """Return the parameters of a path, by name."""
        if route.endswith("/restore"):
            return self._world.deleted(is_version="{version}" in route)
        if route.endswith(("/rollback", "/aliases/{alias}")) or route.startswith(_DELETE_VERSION):
            return self._world.spare_task()
        if "{batch}" in route:
            return {"batch": self._world.finished_batch(OWNER)}
        if "{webhook}" in route:
            return self._world.some_webhook()
        return {
            "tenant": OWNER,
            "task": "mood",
            "alias": "live",
            "version": SOME_VERSION,
            "reader": OTHER,
            "key_id": SPARE_KEY,
            "training": FINISHED_TRAINING,
            "model": "mood",
        }

    def _body_of(self, route: str, parameters: dict[str, Any]) -> dict[str, Any] | None:
        """Return the body of a route whose generated bodies are rarely valid; None for others."""
        if route.startswith("POST ") and route.endswith("/webhooks"):
            self._world.some_webhook()  # their number is limited
            return dict(WEBHOOK)
        if route.startswith("PUT ") and route.endswith("/aliases/{alias}"):
            return {"version": parameters["version"]} if "version" in parameters else None
        if route.startswith("PUT ") and route.endswith("/canary"):
            return {"version": self._world.canary_version(), "percent": 50}
        if route.startswith("PUT ") and route.endswith("/rules"):
            return {"min_score": 0.5}
        if route == "POST /v1/feedback":
            return dict(self._world.feedback())
        return dict(TENSOR) if route.endswith("/infer") else None

    def _put_real_ids(self, case: AnyCase) -> None:
        """Replace values that stand for others."""
        parameters = case.path_parameters or {}
        tenant = str(parameters.get("tenant", OWNER)) if "{tenant}" in case.path else None
        if parameters.get("key_id") == SPARE_KEY:
            parameters["key_id"] = self._world.spare_key_id(tenant)
        if parameters.get("training") == FINISHED_TRAINING:
            parameters["training"] = self._world.finished_training(tenant or OWNER)
        body: Any = case.body
        for values in (parameters, body):
            if isinstance(values, dict) and values.get("version") == SOME_VERSION:
                task = str(parameters.get("task", "mood"))
                values["version"] = self._world.some_version(tenant or OWNER, task)

    def _put_real_file(self, case: AnyCase, chance: random.Random, *, is_new: bool) -> None:
        """Replace the file of most uploads, because no generated file is valid."""
        form: Any = case.body
        is_upload = case.method.upper() == "POST" and case.path.endswith("/versions")
        is_chosen = is_new or chance.random() < _SHARE_OF_REAL_FILES
        if is_upload and isinstance(form, dict) and is_chosen:
            form["file"] = self._world.prefix_file(chance.randrange(20))

    def _follow(self, case: AnyCase, response: Response) -> None:
        """Count the request, and restore what it has removed."""
        self.num_cases += 1
        if response.status_code < 400:
            self.reached.add(_route_of(case))
        if response.status_code < 400 and case.method.upper() not in {"GET", "HEAD", "OPTIONS"}:
            self._world.restore()


def _route_of(case: AnyCase) -> str:
    return f"{case.method.upper()} {case.path}"


def _is_invalid(case: AnyCase, part: ParameterLocation) -> bool:
    return case.meta is not None and case.meta.is_negative_at(part)


def errors_have_one_shape(_context: CheckContext, response: Response, case: AnyCase) -> None:
    """Every error is a problem document with a known code, and every response is protected."""
    for name, value in HEADERS[:-1]:
        assert response.headers.get(name.decode()) == [value.decode()], name
    if response.status_code < 400:
        return
    assert response.headers["content-type"] == [media_types.PROBLEM]
    problem = response.json()
    assert problem.keys() >= _MEMBERS, problem
    assert problem["status"] == response.status_code, problem
    assert problem["code"] in _CODES, problem
    assert problem["type"] == f"urn:polyprefix:problem:{problem['code']}", problem
    assert problem["detail"], problem
    assert response.status_code != 504 or "x-timeout-ms" in case.headers, problem
    assert ("www-authenticate" in response.headers) == (response.status_code == 401)
    assert ("retry-after" in response.headers) == (response.status_code in {429, 503})
