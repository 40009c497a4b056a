"""Every route has a method of the client, or a reason for having none."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from polyprefix_client import ApiError, Client
from tests.server.test_access_matrix import ROWS

ALIAS: Final = "/v1/tenants/{tenant}/prefixes/{task}/aliases/{alias}"
TASK: Final = "/v1/tenants/{tenant}/prefixes/{task}"
TENANT: Final = "/v1/tenants/{tenant}"
TRAINING: Final = "/v1/tenants/{tenant}/trainings/{training}"
WEBHOOK: Final = "/v1/tenants/{tenant}/webhooks/{webhook}"

CALLS: Final[Mapping[str, Callable[[Client], Any]]] = {
    "GET /": lambda c: c.status(),
    "GET /v1/me": lambda c: c.me(),
    "GET /v1/models": lambda c: c.models(),
    "POST /v1/predict": lambda c: c.predict("good", model="a/b"),
    "POST /v1/classify": lambda c: c.classify("good", model="a/b"),
    "POST /v1/token-classification": lambda c: c.find_entities("good", model="a/b"),
    "POST /v1/question-answering": lambda c: c.answer("what?", "that", model="a/b"),
    "POST /v1/multiple-choice": lambda c: c.choose({"premise": "x"}, ["y", "z"], model="a/b"),
    "POST /v1/embeddings": lambda c: c.embed("good", model="a/b"),
    f"GET {TENANT}/prefixes": lambda c: c.prefixes.list("a"),
    f"GET {TASK}": lambda c: c.prefixes.show("a/b"),
    f"GET {TASK}/versions/{{version}}": lambda c: c.prefixes.version("a/b@1"),
    f"GET {TASK}/versions/{{version}}/file": lambda c: c.prefixes.download("a/b@1"),
    f"GET {TASK}/versions/{{version}}/drift": lambda c: c.prefixes.drift("a/b@1"),
    f"POST {TASK}/versions": lambda c: c.prefixes.upload("a/b", b"file"),
    f"DELETE {TASK}/versions/{{version}}": lambda c: c.prefixes.delete("a/b@1"),
    f"DELETE {TASK}": lambda c: c.prefixes.delete("a/b"),
    f"POST {TASK}/versions/{{version}}/restore": lambda c: c.prefixes.restore("a/b@1"),
    f"POST {TASK}/restore": lambda c: c.prefixes.restore("a/b"),
    f"GET {TENANT}/deleted-prefixes": lambda c: c.prefixes.deleted("a"),
    f"GET {TASK}/retention": lambda c: c.prefixes.retention("a/b"),
    f"PUT {TASK}/retention": lambda c: c.prefixes.set_retention("a/b", keep_versions=3),
    f"GET {TASK}/readers": lambda c: c.prefixes.readers("a/b"),
    f"PUT {TASK}/readers/{{reader}}": lambda c: c.prefixes.share("a/b", "c"),
    f"DELETE {TASK}/readers/{{reader}}": lambda c: c.prefixes.unshare("a/b", "c"),
    f"PUT {TASK}/public": lambda c: c.prefixes.share("a/b", None),
    f"DELETE {TASK}/public": lambda c: c.prefixes.unshare("a/b", None),
    f"PUT {ALIAS}": lambda c: c.prefixes.promote("a/b:live", 1),
    f"POST {ALIAS}/rollback": lambda c: c.prefixes.rollback("a/b:live"),
    f"GET {ALIAS}/rules": lambda c: c.rules.show("a/b"),
    f"PUT {ALIAS}/rules": lambda c: c.rules.set("a/b", min_score=0.5),
    f"DELETE {ALIAS}/rules": lambda c: c.rules.delete("a/b"),
    f"GET {ALIAS}/canary": lambda c: c.canaries.show("a/b"),
    f"GET {ALIAS}/canary/report": lambda c: c.canaries.report("a/b"),
    f"PUT {ALIAS}/canary": lambda c: c.canaries.set("a/b", version=2, percent=5),
    f"POST {ALIAS}/canary/promote": lambda c: c.canaries.promote("a/b"),
    f"DELETE {ALIAS}/canary": lambda c: c.canaries.cancel("a/b"),
    f"POST {TENANT}/trainings": lambda c: c.trainings.start("a/b", ("f.csv", b"text,label")),
    f"GET {TENANT}/trainings": lambda c: c.trainings.list("a"),
    f"GET {TRAINING}": lambda c: c.trainings.show("a", "t"),
    f"GET {TRAINING}/events": lambda c: c.trainings.events("a", "t"),
    f"POST {TRAINING}/cancel": lambda c: c.trainings.cancel("a", "t"),
    f"GET {TRAINING}/report": lambda c: c.trainings.report("a", "t"),
    f"GET {TRAINING}/curve.png": lambda c: c.trainings.curve("a", "t"),
    "POST /v1/tenants": lambda c: c.tenants.create("a"),
    "GET /v1/tenants": lambda c: c.tenants.list(),
    f"GET {TENANT}": lambda c: c.tenants.show("a"),
    f"PATCH {TENANT}": lambda c: c.tenants.set_public("a", is_public=False),
    f"POST {TENANT}/suspend": lambda c: c.tenants.suspend("a"),
    f"POST {TENANT}/resume": lambda c: c.tenants.resume("a"),
    f"DELETE {TENANT}": lambda c: c.tenants.delete("a"),
    f"POST {TENANT}/keys": lambda c: c.keys.create("a", role="infer"),
    f"GET {TENANT}/keys": lambda c: c.keys.list("a"),
    f"GET {TENANT}/keys/{{key_id}}": lambda c: c.keys.show("a", "k"),
    f"POST {TENANT}/keys/{{key_id}}/rotate": lambda c: c.keys.rotate("a", "k"),
    f"DELETE {TENANT}/keys/{{key_id}}": lambda c: c.keys.revoke("a", "k"),
    f"GET {TENANT}/limits": lambda c: c.limits.show("a"),
    f"PATCH {TENANT}/limits": lambda c: c.limits.set("a", max_prefixes=5),
    f"GET {TENANT}/keys/{{key_id}}/limits": lambda c: c.limits.show("a", "k"),
    f"PATCH {TENANT}/keys/{{key_id}}/limits": lambda c: c.limits.set("a", "k", weight=2),
    "POST /v1/operator-keys": lambda c: c.keys.create(None),
    "GET /v1/operator-keys": lambda c: c.keys.list(None),
    "GET /v1/operator-keys/{key_id}": lambda c: c.keys.show(None, "k"),
    "POST /v1/operator-keys/{key_id}/rotate": lambda c: c.keys.rotate(None, "k"),
    "DELETE /v1/operator-keys/{key_id}": lambda c: c.keys.revoke(None, "k"),
    f"POST {TENANT}/webhooks": lambda c: c.webhooks.create("a", "https://x.org", events=["e"]),
    f"GET {TENANT}/webhooks": lambda c: c.webhooks.list("a"),
    f"GET {WEBHOOK}": lambda c: c.webhooks.show("a", "w"),
    f"PATCH {WEBHOOK}": lambda c: c.webhooks.change("a", "w", is_enabled=False),
    f"DELETE {WEBHOOK}": lambda c: c.webhooks.delete("a", "w"),
    f"POST {WEBHOOK}/rotate": lambda c: c.webhooks.rotate("a", "w"),
    f"POST {WEBHOOK}/test": lambda c: c.webhooks.test("a", "w"),
    f"GET {WEBHOOK}/deliveries": lambda c: c.webhooks.deliveries("a", "w"),
    "POST /v1/batches": lambda c: c.batches.add("rows.jsonl"),
    "GET /v1/batches": lambda c: c.batches.list(),
    "GET /v1/batches/{batch}": lambda c: c.batches.show("b"),
    "GET /v1/batches/{batch}/results": lambda c: c.batches.results("b"),
    "POST /v1/batches/{batch}/cancel": lambda c: c.batches.cancel("b"),
    "DELETE /v1/batches/{batch}": lambda c: c.batches.delete("b"),
    "POST /v1/feedback": lambda c: c.feedback.send("r", label="good"),
    "DELETE /v1/feedback/{request_id}": lambda c: c.feedback.retract("r"),
    f"GET {TENANT}/feedback": lambda c: c.feedback.settings("a"),
    f"PUT {TENANT}/feedback": lambda c: c.feedback.set("a", is_enabled=True),
    f"DELETE {TENANT}/feedback": lambda c: c.feedback.delete("a"),
    f"DELETE {TASK}/feedback": lambda c: c.feedback.delete("a/b"),
    f"GET {TASK}/review": lambda c: c.feedback.review("a/b"),
    f"GET {TENANT}/usage": lambda c: c.usage.rows("a"),
    f"GET {TENANT}/usage/export": lambda c: c.usage.export("a"),
    "GET /v1/usage": lambda c: c.usage.rows(),
    "GET /v1/usage/export": lambda c: c.usage.export(),
    "GET /v1/audit": lambda c: c.audit.events(),
    "GET /v1/audit/export": lambda c: c.audit.export(),
}

WITHOUT_METHODS: Final[Mapping[str, str]] = {
    r"GET /(livez|health|ping|readyz|metrics)": "for probes and monitoring",
    r"\w+ /console/.*": "for the console",
    r"\w+ /v2.*": "for clients of the Open Inference Protocol",
    r"\w+ /label-studio/.*": "for Label Studio",
    r"POST /(models/.*|classify|predict|embed)?": "for clients of other servers",
    r"GET /info": "for clients of other servers",
    r"GET /v1/models/.*": "for clients of OpenAI's API; `prefixes.show` tells more",
}
"""Patterns of routes, and why the client has no method for them."""


def consume(result: Any) -> None:
    """Run a call that sends its request when its first item is asked for."""
    if isinstance(result, Iterator):
        next(result)


def pattern_of(route: str) -> str:
    """Return the pattern of the requests of a route."""
    return re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(route))


def test_every_route_has_a_method_or_a_reason_for_none() -> None:
    missing = {route for route in ROWS.keys() - CALLS.keys() if not matches(route, WITHOUT_METHODS)}
    assert not missing, "add a method of the client and a row of CALLS"
    assert CALLS.keys() <= ROWS.keys()
    assert not {route for route in CALLS if matches(route, WITHOUT_METHODS)}


def matches(route: str, patterns: Iterable[str]) -> bool:
    return any(re.fullmatch(pattern, route) for pattern in patterns)


@pytest.mark.parametrize("route", list(CALLS))
def test_a_method_calls_its_route(
    route: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text('"good"\n')
    sent: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(f"{request.method} {request.url.path}")
        return httpx.Response(418)

    transport = httpx.MockTransport(answer)
    with (
        Client("http://server", "key", transport=transport) as client,
        pytest.raises(ApiError, match="418"),
    ):
        consume(CALLS[route](client))
    assert re.fullmatch(pattern_of(route), sent[0]), sent
