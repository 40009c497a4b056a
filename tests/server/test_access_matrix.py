"""Every route, for every kind of caller and every relation to the tenant whose data it asks for.

`ROWS` has one row for each route of the application, and `EXPECTED` one cell for each kind of
route, caller and relation. A route without a row fails the first test.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final

import httpx
import pytest
from fastapi.routing import APIRoute

from prefixes import Prefix
from prefixes.backbone import Backbone
from prefixes.registry import (
    COMMAND_LINE,
    AnswerStore,
    ApiKeys,
    Canaries,
    CanaryPlan,
    CanaryRoute,
    FeedbackRule,
    FeedbackSettings,
    PrefixRegistry,
    Role,
    Sharing,
    Tenants,
)
from prefixes.registry.recorded_answer_rows import NewAnswer, SealedText
from prefixes.registry.tables import now
from prefixes.registry.webhooks import Webhooks
from server.api.access import NEEDED, VISIBLE
from server.batch_files import store as batches
from server.batch_files.records import BatchRequest
from server.feedback.contents import AnswerContent
from server.job_ids import new_id
from server.settings import Settings
from server.training_jobs.records import JobRequest
from server.training_jobs.store import training_store
from tests.factories import make_prefix
from tests.server.rest import FakeEngine, Rest, new_registry, put, put_some, serving

CALLERS: Final = (
    "anonymous", "infer", "upload", "admin", "operator", "expired", "revoked", "suspended",
)  # fmt: skip
RELATIONS: Final = {"own": "acme", "other": "zoo", "shared": "zoo", "public": "examples"}
"""The tenant that a path names, for callers of acme."""

OK: Final = "ok"
NO_KEY: Final = "401 key_required"
BAD_KEY: Final = "401 invalid_key"
SUSPENDED: Final = "403 tenant_suspended"
LOW_ROLE: Final = "403 role_required"
HIDDEN: Final = "404 hidden"
"""As if it did not exist: the code depends on the route."""

HIDDEN_CODES: Final = {
    "prefix_not_found", "training_not_found", "tenant_not_found", "key_not_found",
    "webhook_not_found", "answer_not_found", "batch_not_found",
}  # fmt: skip

_BAD: Final = (BAD_KEY, BAD_KEY, SUSPENDED)


def _same(*cells: str) -> Mapping[str, tuple[str, ...]]:
    return dict.fromkeys(RELATIONS, cells)


def _needs(infer: str, upload: str, admin: str) -> Mapping[str, tuple[str, ...]]:
    own = (NO_KEY, infer, upload, admin, OK, *_BAD)
    theirs = (NO_KEY, HIDDEN, HIDDEN, HIDDEN, OK, *_BAD)
    return {"own": own, "other": theirs, "shared": theirs, "public": theirs}


_ALL_ROLES: Final = (OK, OK, OK, OK)
EXPECTED: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "open": _same(*[OK] * 8),
    "listed": _same(OK, *_ALL_ROLES, *_BAD),
    "inference": {
        "own": (NO_KEY, OK, OK, OK, HIDDEN, *_BAD),
        "other": (NO_KEY, HIDDEN, HIDDEN, HIDDEN, HIDDEN, *_BAD),
        "shared": (NO_KEY, OK, OK, OK, HIDDEN, *_BAD),
        "public": (OK, *_ALL_ROLES, *_BAD),
    },
    # The default model of the server belongs to acme, so the relation does not matter.
    "default": _same(NO_KEY, OK, OK, OK, HIDDEN, *_BAD),
    "read": {
        "own": (NO_KEY, *_ALL_ROLES, *_BAD),
        "other": (NO_KEY, HIDDEN, HIDDEN, HIDDEN, OK, *_BAD),
        "shared": (NO_KEY, *_ALL_ROLES, *_BAD),
        "public": (OK, *_ALL_ROLES, *_BAD),
    },
    "upload": _needs(LOW_ROLE, OK, OK),
    "admin": _needs(LOW_ROLE, LOW_ROLE, OK),
    "operator": _needs(LOW_ROLE, LOW_ROLE, LOW_ROLE),
    "of an answer infer": {
        "own": (NO_KEY, OK, OK, OK, HIDDEN, *_BAD),
        **dict.fromkeys(("other", "shared", "public"), (NO_KEY, *[HIDDEN] * 4, *_BAD)),
    },
    # The path names no tenant.
    "any infer": _same(NO_KEY, OK, OK, OK, OK, *_BAD),
    "any admin": _same(NO_KEY, LOW_ROLE, LOW_ROLE, OK, OK, *_BAD),
    # The body is not a file of rows, which is checked after the access. Operators have no tenant.
    "tenant infer": _same(NO_KEY, OK, OK, OK, LOW_ROLE, *_BAD),
    "infer": _needs(OK, OK, OK),
    "any operator": _same(NO_KEY, LOW_ROLE, LOW_ROLE, LOW_ROLE, OK, *_BAD),
}
"""By kind of route and relation: the answer to each caller, in the order of `CALLERS`."""


@dataclass(frozen=True)
class Row:
    """One route: its kind, the status of a request that passes the check, and a body."""

    kind: str
    ok: int = 200
    body: Mapping[str, Any] | None = field(default=None)


VARYING: Final = {"date", "content-length", "x-request-id"}
"""Headers that differ from one answer to the next, or with the lengths of names."""

READING: Final = {"open", "listed", "inference", "default", "read"}
"""The kinds of routes that change nothing."""

TEXT: Final = {"model": "{tenant}/{task}", "input": "good"}
TASK: Final = "/v1/tenants/{tenant}/prefixes/{task}"
TRAININGS: Final = "/v1/tenants/{tenant}/trainings"
TENANT: Final = "/v1/tenants/{tenant}"
LABEL_STUDIO: Final = "/label-studio/{tenant}/{task}"
MODEL: Final = "/v2/models/{model:model}"
TENSOR: Final = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["good"]}]}
PREDICT: Final = {
    "tasks": [{"data": {"text": "good"}}],
    "label_config": '<View><Text name="t" value="$text"/><Choices name="c" toName="t"/></View>',
}

ROWS: Final[Mapping[str, Row]] = {
    "GET /": Row("open"),
    "GET /livez": Row("open"),
    "GET /health": Row("open"),
    "GET /ping": Row("open"),
    "GET /readyz": Row("open"),
    "GET /metrics": Row("open"),
    "GET /v1/me": Row("any infer"),
    "POST /console/session": Row("any infer"),
    "GET /console/session": Row("open"),
    "DELETE /console/session": Row("open", 204),
    "POST /v1/classify": Row("inference", 200, TEXT),
    "POST /v1/predict": Row("inference", 200, TEXT),
    # These tasks have another type, which is checked after the access.
    "POST /v1/token-classification": Row("inference", 422, TEXT),
    "POST /v1/question-answering": Row("inference", 422, TEXT),
    "POST /v1/multiple-choice": Row("inference", 422, TEXT),
    "POST /v1/embeddings": Row("inference", 422, TEXT),
    "POST /classify": Row("inference", 200, TEXT),
    "POST /models/{tenant}/{task}": Row("inference", 200, {"inputs": "good"}),
    "POST /predict": Row("default", 200, {"inputs": "good"}),
    "POST /embed": Row("default", 422, {"inputs": "good"}),
    "POST /": Row("default", 200, {"inputs": "good"}),
    "GET /info": Row("default"),
    "GET /v2": Row("open"),
    "GET /v2/health/live": Row("open"),
    "GET /v2/health/ready": Row("open"),
    f"POST {MODEL}/infer": Row("inference", 200, TENSOR),
    f"POST {MODEL}/versions/{{version}}/infer": Row("inference", 200, TENSOR),
    f"GET {MODEL}": Row("inference"),
    f"GET {MODEL}/ready": Row("inference"),
    f"GET {MODEL}/versions/{{version}}": Row("inference"),
    f"GET {MODEL}/versions/{{version}}/ready": Row("inference"),
    "POST /v2/repository/index": Row("listed"),
    f"GET {LABEL_STUDIO}/health": Row("inference"),
    f"POST {LABEL_STUDIO}/setup": Row("inference", 200, {}),
    f"POST {LABEL_STUDIO}/predict": Row("inference", 200, PREDICT),
    f"POST {LABEL_STUDIO}/webhook": Row("upload", 201, {"action": "TASKS_CREATED"}),
    "GET /v1/models": Row("listed"),
    "GET /v1/models/{model:path}": Row("inference"),
    "GET /v1/tenants/{tenant}/prefixes": Row("listed"),
    f"GET {TASK}": Row("read"),
    f"GET {TASK}/versions/{{version}}": Row("read"),
    f"GET {TASK}/versions/{{version}}/file": Row("read"),
    f"POST {TASK}/versions": Row("upload", 422),  # without a file
    f"DELETE {TASK}/versions/{{version}}": Row("admin", 409),  # `live` points to it
    f"DELETE {TASK}": Row("admin", 204),
    f"POST {TASK}/versions/{{version}}/restore": Row("admin"),
    f"GET {TASK}/versions/{{version}}/drift": Row("upload"),
    f"POST {TASK}/restore": Row("admin"),
    f"GET {TENANT}/deleted-prefixes": Row("admin"),
    f"GET {TASK}/retention": Row("admin"),
    f"PUT {TASK}/retention": Row("admin", 200, {"keep_versions": 3}),
    f"PUT {TASK}/aliases/{{alias}}": Row("upload", 200, {"version": 1}),
    f"POST {TASK}/aliases/{{alias}}/rollback": Row("upload", 409),  # one version only
    # The task has one version, no rules and no canary.
    f"GET {TASK}/aliases/{{alias}}/rules": Row("upload", 404),
    f"PUT {TASK}/aliases/{{alias}}/rules": Row("upload", 422, {}),
    f"DELETE {TASK}/aliases/{{alias}}/rules": Row("upload", 404),
    f"GET {TASK}/aliases/{{alias}}/canary": Row("upload", 404),
    f"GET {TASK}/aliases/{{alias}}/canary/report": Row("upload", 404),
    f"PUT {TASK}/aliases/{{alias}}/canary": Row("upload", 422, {"version": 1, "percent": 5}),
    f"POST {TASK}/aliases/{{alias}}/canary/promote": Row("upload", 404),
    f"DELETE {TASK}/aliases/{{alias}}/canary": Row("upload", 404),
    f"GET {TASK}/readers": Row("admin"),
    f"PUT {TASK}/readers/{{reader}}": Row("admin", 204),
    f"DELETE {TASK}/readers/{{reader}}": Row("admin", 204),
    f"PUT {TASK}/public": Row("admin", 204),
    f"DELETE {TASK}/public": Row("admin", 204),
    f"POST {TRAININGS}": Row("upload", 422),  # without files
    f"GET {TRAININGS}": Row("upload"),
    f"GET {TRAININGS}/{{training}}": Row("upload"),
    f"GET {TRAININGS}/{{training}}/events": Row("upload"),
    f"POST {TRAININGS}/{{training}}/cancel": Row("upload"),
    f"GET {TRAININGS}/{{training}}/report": Row("upload", 404),  # it wrote none
    f"GET {TRAININGS}/{{training}}/curve.png": Row("upload", 404),
    "POST /v1/tenants": Row("any operator", 409, {"name": "acme"}),
    "GET /v1/tenants": Row("any operator"),
    f"GET {TENANT}": Row("admin"),
    f"PATCH {TENANT}": Row("operator", 200, {"is_public": False}),
    f"POST {TENANT}/suspend": Row("operator"),
    f"POST {TENANT}/resume": Row("operator"),
    f"DELETE {TENANT}": Row("operator"),
    f"POST {TENANT}/keys": Row("admin", 201, {"role": "infer"}),
    f"GET {TENANT}/keys": Row("admin"),
    f"GET {TENANT}/keys/{{key_id}}": Row("admin"),
    f"POST {TENANT}/keys/{{key_id}}/rotate": Row("admin", 201, {}),
    f"DELETE {TENANT}/keys/{{key_id}}": Row("admin", 204),
    f"GET {TENANT}/limits": Row("admin"),
    f"PATCH {TENANT}/limits": Row("operator", 200, {"max_prefixes": 5000}),
    f"GET {TENANT}/keys/{{key_id}}/limits": Row("admin"),
    f"PATCH {TENANT}/keys/{{key_id}}/limits": Row("admin", 200, {"max_upload_bytes": 10**9}),
    "POST /v1/operator-keys": Row("any operator", 201, {}),
    "GET /v1/operator-keys": Row("any operator"),
    "GET /v1/operator-keys/{key_id}": Row("any operator"),
    "POST /v1/operator-keys/{key_id}/rotate": Row("any operator", 201, {}),
    "DELETE /v1/operator-keys/{key_id}": Row("any operator", 204),
    f"POST {TENANT}/webhooks": Row(
        "admin", 201, {"url": "https://example.org/", "events": ["alias.moved"]}
    ),
    f"GET {TENANT}/webhooks": Row("admin"),
    f"GET {TENANT}/webhooks/{{webhook}}": Row("admin"),
    f"PATCH {TENANT}/webhooks/{{webhook}}": Row("admin", 200, {"is_enabled": False}),
    f"DELETE {TENANT}/webhooks/{{webhook}}": Row("admin", 204),
    f"POST {TENANT}/webhooks/{{webhook}}/rotate": Row("admin", 200, {}),
    f"POST {TENANT}/webhooks/{{webhook}}/test": Row("admin", 202),
    f"GET {TENANT}/webhooks/{{webhook}}/deliveries": Row("admin"),
    "POST /v1/batches": Row("tenant infer", 422),
    "GET /v1/batches": Row("any infer"),
    "GET /v1/batches/{batch}": Row("infer"),
    "GET /v1/batches/{batch}/results": Row("infer"),
    "POST /v1/batches/{batch}/cancel": Row("infer"),
    "DELETE /v1/batches/{batch}": Row("infer", 204),
    "POST /v1/feedback": Row(
        "of an answer infer", 200, {"request_id": "{request}", "label": "good"}
    ),
    "DELETE /v1/feedback/{request_id}": Row("of an answer infer", 204),
    f"GET {TENANT}/feedback": Row("admin"),
    f"PUT {TENANT}/feedback": Row("admin", 200, {"is_enabled": True}),
    f"DELETE {TENANT}/feedback": Row("admin"),
    f"DELETE {TASK}/feedback": Row("admin"),
    f"GET {TASK}/review": Row("upload"),
    f"GET {TENANT}/usage": Row("admin"),
    f"GET {TENANT}/usage/export": Row("admin"),
    "GET /v1/usage": Row("any operator"),
    "GET /v1/usage/export": Row("any operator"),
    "GET /v1/audit": Row("any admin"),
    "GET /v1/audit/export": Row("any admin"),
}


class World:
    """A server, callers of each kind, and something of each tenant that a request may name."""

    def __init__(self, rest: Rest, backbone: Backbone) -> None:
        self.rest = rest
        self.client = httpx.Client(base_url=rest.url, timeout=30)
        # Signing in to the console sets a cookie, which would identify the next callers, too.
        self.client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.fingerprint = backbone.fingerprint
        self._seeds = itertools.count(5000)
        self._names: dict[tuple[str, str], dict[str, str]] = {}
        database = rest.registry.database
        self._api_keys = ApiKeys(database)
        self._tenants = Tenants(database)
        self._sharing = Sharing(database)
        self._webhooks = Webhooks(database)
        settings = Settings(store_folder=rest.folder)
        self._trainings = training_store(settings, database)
        self._batches = batches.batch_store(settings, database)
        self.keys = dict(self._make_keys())

    def _make_keys(self) -> Iterator[tuple[str, str | None]]:
        yield "anonymous", None
        issue = self._api_keys.issue
        for role in ("infer", "upload", "admin"):
            yield role, issue("acme", role, role=role).key
        yield "operator", issue(None, "operator", role="operator").key
        yield "expired", issue("acme", "expired", expires_at=datetime.now(UTC)).key
        revoked = issue("acme", "revoked").key
        self._api_keys.revoke(revoked.split("_")[1])
        yield "revoked", revoked
        self.rest.registry.ensure_tenant("frozen")
        yield "suspended", issue("frozen", "suspended").key
        self._tenants.suspend("frozen", by=COMMAND_LINE)

    def names(self, relation: str, path: str, *, can_reuse: bool) -> dict[str, str]:
        """Make everything that a path names, or reuse it if no request has changed it."""
        if can_reuse and (relation, path) in self._names:
            return self._names[relation, path]
        names = self._names[relation, path] = self._make_names(relation, path)
        return names

    def _make_names(self, relation: str, path: str) -> dict[str, str]:
        tenant = RELATIONS[relation]
        seed = next(self._seeds)
        names = {"tenant": tenant, "task": f"task-{seed}", "version": "1", "alias": "live"}
        put(
            self.rest.registry,
            f"{tenant}/{names['task']}",
            make_prefix(self.fingerprint, seed=seed),
        )
        if relation == "shared":
            self._sharing.add(tenant, names["task"], "acme", by=COMMAND_LINE)
        if path.endswith("/restore"):
            self._delete(tenant, names["task"], is_version="{version}" in path)
        if path.startswith("/v1/feedback"):
            names["request"] = names["request_id"] = self._answer(tenant, names["task"])
        if "{training}" in path:
            names["training"] = self._training(tenant)
        if "{batch}" in path:
            names["batch"] = self._batch(tenant)
        if "{webhook}" in path:
            names["webhook"] = self._webhook(tenant)
        names["key_id"] = self._key_id(None if "/operator-keys/" in path else tenant)
        names["reader"] = "globex"
        names["model:path"] = names["model:model"] = f"{tenant}/{names['task']}"
        return names

    def _delete(self, tenant: str, task: str, *, is_version: bool) -> None:
        registry = self.rest.registry
        if is_version:
            seed = next(self._seeds)
            put(registry, f"{tenant}/{task}", make_prefix(self.fingerprint, seed=seed))
            registry.delete_version(tenant, task, 1)
        else:
            registry.delete_prefix(tenant, task)

    def _batch(self, tenant: str) -> str:
        batch = new_id()
        self._batches.add(batch, BatchRequest(tenant, None, {}, "jsonl"), 1)
        self._batches.cancel(tenant, batch)
        return batch

    def _key_id(self, owner: str | None) -> str:
        role: Role = "operator" if owner is None else "admin"
        return self._api_keys.issue(owner, "target", role=role).key.split("_")[1]

    def _webhook(self, tenant: str) -> str:
        url, events = "https://example.org/", ["alias.moved"]
        return self._webhooks.create(tenant, url, events, by=COMMAND_LINE).webhook.id

    def _answer(self, tenant: str, task: str) -> str:
        """Record an answer; return the id of its request."""
        request = f"request-{next(self._seeds)}"
        content = SealedText(AnswerContent({"text": "bad"}, {"label": "bad"}).to_bytes(), None)
        rule = FeedbackRule(is_enabled=True)
        FeedbackSettings(self.rest.registry.database).set(tenant, rule, by=COMMAND_LINE)
        store = AnswerStore(self.rest.registry.database, max_bytes=10**7)
        store.add([NewAnswer(tenant, task, 1, request, 0, now(), content, 0.5)])
        return request

    def restore(self) -> None:
        """Undo changes of tenants."""
        for tenant in set(RELATIONS.values()):
            for webhook in self._webhooks.list(tenant):  # their number is limited
                self._webhooks.delete(tenant, webhook.id, by=COMMAND_LINE)
            self._tenants.resume(tenant, by=COMMAND_LINE)
            is_public = tenant == "examples"
            self._tenants.set_public(tenant, is_public=is_public, by=COMMAND_LINE)

    def _training(self, tenant: str) -> str:
        training = new_id()
        self._trainings.add(training, JobRequest(tenant, "mood", "live", 0.0, {}))
        self._trainings.cancel(tenant, training)
        return training


@pytest.fixture(scope="module")
def world(backbone: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("matrix")
    registry, _ = new_registry(folder)
    put_some(registry, backbone.fingerprint)
    engine = FakeEngine(registry)
    with serving(folder, backbone, engine, default_model="acme/mood") as rest:
        world = World(rest, backbone)
        yield world
        world.client.close()


def filled(text: str, names: Mapping[str, str]) -> str:
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def filled_body(row: Row, names: Mapping[str, str]) -> dict[str, Any] | None:
    if row.body is None:
        return None
    return {
        field: filled(value, names) if isinstance(value, str) else value
        for field, value in row.body.items()
    }


def shown(row: Row, response: httpx.Response) -> str:
    is_problem = response.headers.get("content-type") == "application/problem+json"
    code = response.json()["code"] if is_problem and response.content else ""
    if response.status_code == 404 and code in HIDDEN_CODES:
        return HIDDEN
    if response.status_code in {401, 403} or response.status_code != row.ok:
        return f"{response.status_code} {code}"
    return OK


def routes_of(routes: Any) -> Iterator[str]:
    for route in routes:
        if hasattr(route, "original_router"):  # how FastAPI keeps the routers of modules
            yield from routes_of(route.original_router.routes)
        elif isinstance(route, APIRoute):
            yield from (f"{method} {route.path}" for method in route.methods or ())


def test_every_route_has_a_row(world: World) -> None:
    assert set(routes_of(world.rest.app.routes)) == ROWS.keys()


def test_every_authenticated_route_has_a_role_that_agrees_with_its_row() -> None:
    kinds = {route: row.kind.rpartition(" ")[2] for route, row in ROWS.items()}
    checked = {route for route, kind in kinds.items() if kind != "open"}
    assert checked == NEEDED.keys() | VISIBLE
    assert {route: kinds[route] for route in NEEDED} == NEEDED


@pytest.mark.parametrize("route", list(ROWS))
def test_each_caller_gets_exactly_the_allowed_answer(route: str, world: World) -> None:
    row, (method, path) = ROWS[route], route.split(" ")
    found, expected = {}, {}
    for relation, cells in EXPECTED[row.kind].items():
        has_changed = True  # other tests may have used the names of reads only
        for caller, cell in zip(CALLERS, cells, strict=True):
            is_read = row.kind in READING
            names = world.names(relation, path, can_reuse=is_read or not has_changed)
            key = world.keys[caller]
            headers = {} if key is None else {"Authorization": f"Bearer {key}"}
            response = world.client.request(
                method, filled(path, names), headers=headers, json=filled_body(row, names)
            )
            found[relation, caller] = shown(row, response)
            expected[relation, caller] = cell
            has_changed = response.status_code < 400 and not is_read
            if has_changed:
                world.restore()
    assert found == expected


OF_A_TENANT: Final = [
    route
    for route, row in ROWS.items()
    if ("{tenant}" in route or "{batch}" in route) and row.kind != "listed"
]
"""A list contains the prefixes that other tests share with acme."""


def unnamed(text: str, names: Mapping[str, str]) -> str:
    for name in ("task", "training", "batch", "key_id", "webhook", "tenant"):
        text = text.replace(names.get(name, f"<{name}>"), f"<{name}>")
    return text


@pytest.mark.parametrize("route", OF_A_TENANT)
def test_what_belongs_to_others_and_what_does_not_exist_get_the_same_answer(
    route: str, world: World
) -> None:
    row, (method, path) = ROWS[route], route.split(" ")
    theirs = world.names("other", path, can_reuse=row.kind in READING)
    missing = {name: f"missing-{name}" for name in theirs}
    missing |= {name: theirs[name] for name in ("version", "alias", "reader")}
    headers = {"Authorization": f"Bearer {world.keys['admin']}"}
    answers = []
    for names in (theirs, missing):
        response = world.client.request(
            method, filled(path, names), headers=headers, json=filled_body(row, names)
        )
        fixed = {name: value for name, value in response.headers.items() if name not in VARYING}
        answers.append((response.status_code, unnamed(response.text, names), fixed))
    assert answers[0] == answers[1]


@pytest.mark.parametrize("relation", list(RELATIONS))
def test_only_the_owner_and_operators_see_canaries(relation: str, world: World) -> None:
    names = world.names(relation, TASK, can_reuse=False)
    start_canaries(world.rest.registry, names, make_prefix(world.fingerprint, seed=9999))
    cells = dict(zip(CALLERS, EXPECTED["read"][relation], strict=True))
    for caller in [name for name, cell in cells.items() if cell == OK]:
        key = world.keys[caller]
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        found = world.client.get(filled(TASK, names), headers=headers)
        (alias,) = found.json()["aliases"]
        kinds = [move["kind"] for move in alias["history"]]
        if relation == "own" or caller == "operator":
            assert alias["canary"] == {"version": 2, "percent": 7}
            assert kinds == ["publish", "canary", "canary_rollback", "canary"]
        else:
            assert alias["canary"] is None
            assert kinds == ["publish"]
            assert "secret reason" not in found.text


def start_canaries(registry: PrefixRegistry, names: Mapping[str, str], prefix: Prefix) -> None:
    """Roll a canary back, and start another one."""
    tenant, task = names["tenant"], names["task"]
    with registry.store.stage() as staged:
        staged.write(prefix.to_bytes())
        version = registry.publish(tenant, task, staged, prefix, alias=None, by=COMMAND_LINE)
    canaries, plan = Canaries(registry.database), CanaryPlan(2, 7)
    first = canaries.set(tenant, task, "live", plan, by=COMMAND_LINE)
    route = CanaryRoute("live", version.version, plan, first.started_at)
    assert canaries.roll_back(route, reason="secret reason", by=COMMAND_LINE)
    canaries.set(tenant, task, "live", plan, by=COMMAND_LINE)
