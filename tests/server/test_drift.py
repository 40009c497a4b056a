"""Drift over HTTP, of a server with the real engine."""

import asyncio
from pathlib import Path
from typing import Any

from prefixes.answers.statistics import count_answers
from prefixes.backbone import Backbone, pool_of, run_mixed
from prefixes.registry import PrefixRegistry
from prefixes.registry.answer_hours import AnswerHours
from prefixes.spec import Decisions
from tests.factories import make_prefix
from tests.server.management import manage
from tests.server.rest import put, serving

PATH = "/tenants/acme/prefixes/watched/versions/1/drift"
EXPECTED = ["good", "this film is very good"]


def put_watched(registry: PrefixRegistry, backbone: Backbone) -> None:
    """Publish a prefix that was validated on `EXPECTED`."""
    plain = make_prefix(backbone.fingerprint, seed=50)
    pool, (resident,) = pool_of(backbone, [plain])
    encoded = backbone.texts.encode(plain.spec, [(text,) for text in EXPECTED])
    outputs = [
        [values.numpy() for values in run_mixed(backbone, pool, [(text, resident)])]
        for (text,) in encoded
    ]
    unknown = backbone.texts.unknown_token
    reference = count_answers(plain.spec, encoded, outputs, unknown_token=unknown)
    decisions = Decisions(reference=reference)
    put(registry, "acme/watched", make_prefix(backbone.fingerprint, seed=50, decisions=decisions))


def test_answers_are_compared_with_the_validation_rows(backbone: Backbone, tmp_path: Path) -> None:
    with serving(tmp_path, backbone) as rest:
        put_watched(rest.registry, backbone)
        assert manage(rest, "GET", PATH, "acme")["found"] is None
        inputs = [{"model": "acme/watched", "text": text} for text in EXPECTED]
        answer = rest.call("POST", "/v1/predict", "acme", json={"input": inputs})
        assert answer.status_code == 200
        write_statistics(rest)
        report = manage(rest, "GET", PATH, "acme")
    assert report["found"] == report["reference"]
    assert report["found"]["texts"] == 2
    assert [entry["statistic"] for entry in report["drifts"]] == [
        "labels", "scores", "lengths", "unknown",
    ]  # fmt: skip
    assert all(entry["index"] == 0 for entry in report["drifts"])
    assert report["labels"] == ["bad", "good"]


def test_a_version_without_statistics_has_no_reference(backbone: Backbone, tmp_path: Path) -> None:
    with serving(tmp_path, backbone) as rest:
        report = manage(rest, "GET", "/tenants/acme/prefixes/mood/versions/1/drift", "acme")
        missing = rest.call("GET", f"/v1{PATH.replace('/1/', '/9/')}", "acme")
    assert (report["reference"], report["drifts"]) == (None, [])
    assert missing.status_code == 404


def write_statistics(rest: Any) -> None:
    """Write what was counted, as the server does once a minute."""
    engine = rest.app.state.services.engine

    async def take() -> Any:
        return await engine.statistics.take()

    rows = asyncio.run_coroutine_threadsafe(take(), engine._loop).result()
    AnswerHours(rest.registry.database).add([row for row, _ in rows])
