import json
import logging
import re
import time

import pytest

from server.errors import LimitExceeded
from server.observability.logs import JsonFormatter
from tests.server.conftest import Serve
from tests.server.rest import Rest, until


def the_line(caplog: pytest.LogCaptureFixture) -> dict[str, object]:
    """The one line of requests, which is written when the answer is out already."""

    def lines() -> list[dict[str, object]]:
        return [
            json.loads(JsonFormatter().format(record))
            for record in caplog.records
            if record.name == "polyprefix.requests"
        ]

    until(lambda: bool(lines()))
    (line,) = lines()
    return line


def test_the_time_of_a_line_has_its_offset_from_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    record = logging.LogRecord("polyprefix", logging.INFO, "x.py", 1, "hello", (), None)
    record.created = 1_767_605_400.12
    try:
        for zone, expected in (
            ("UTC", "2026-01-05T09:30:00.120+00:00"),
            ("PST8", "2026-01-05T01:30:00.120-08:00"),
            ("IST-5:30", "2026-01-05T15:00:00.120+05:30"),
        ):
            with monkeypatch.context() as patched:
                patched.setenv("TZ", zone)
                time.tzset()
                assert json.loads(JsonFormatter().format(record))["time"] == expected
    finally:
        time.tzset()


def test_each_request_logs_one_line_with_its_models_and_times(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    rest, _ = serve()
    caplog.set_level(logging.INFO, "polyprefix.requests")
    body = {"input": [{"model": "acme/mood", "text": "whisper"}] * 2}
    response = rest.call(
        "POST", "/v1/classify", "acme", json=body, headers={"X-Request-Id": "abc-1"}
    )
    assert response.headers["x-request-id"] == "abc-1"
    line = the_line(caplog)
    assert line["level"] == "info"
    duration = line.pop("duration_ms")
    assert isinstance(duration, float)
    assert {name: line[name] for name in line if name not in {"time", "level", "logger"}} == {
        "message": "request",
        "request_id": "abc-1",
        "method": "POST",
        "route": "/v1/classify",
        "status": 200,
        "tenant": "acme",
        "key_id": rest.keys["acme"].split("_")[1],
        "models": ["acme/mood@1"],
        "num_models": 1,
        "num_inputs": 2,
        "num_tokens": 8,
        "queue_ms": 1.0,
        "device_ms": 2.0,
    }


def test_log_lines_contain_neither_texts_nor_keys(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    rest, engine = serve()
    caplog.set_level(logging.DEBUG)
    engine.failure = RuntimeError("boom")
    body = {"model": "acme/mood", "input": "whisper"}
    rest.call("POST", "/v1/classify", "acme", json=body)
    engine.failure = None
    rest.call("POST", "/v1/classify", "acme", json=body)
    rest.call("POST", "/v1/classify", "acme", json=body | {"input": ["whisper", 5]})
    until(lambda: "invalid_request" in " ".join(JsonFormatter().format(r) for r in caplog.records))
    ours = [
        JsonFormatter().format(record)
        for record in caplog.records
        if record.name.startswith(("polyprefix", "server", "uvicorn"))
    ]
    assert any("boom" in line for line in ours)
    for line in ours:
        assert "whisper" not in line
        assert rest.keys["acme"] not in line


def test_an_id_that_could_forge_log_lines_is_replaced(rest: Rest) -> None:
    for forged in ("a b", "x" * 65, '"},{"'):
        response = rest.call("GET", "/livez", headers={"X-Request-Id": forged})
        assert re.fullmatch(r"[0-9a-f]{32}", response.headers["x-request-id"])


def test_an_error_is_logged_with_its_code(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    rest, _ = serve()
    caplog.set_level(logging.INFO, "polyprefix.requests")
    rest.call("POST", "/v1/classify", json={"model": "examples/mood", "input": []})
    line = the_line(caplog)
    assert (line["status"], line["code"]) == (422, "input_rejected")
    assert "limit" not in line


def test_an_exceeded_limit_is_logged_with_its_name(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    rest, engine = serve()
    engine.failure = LimitExceeded("no", limit="tokens_per_second", retry_after_seconds=9)
    caplog.set_level(logging.INFO, "polyprefix.requests")
    rest.call("POST", "/v1/classify", "acme", json={"model": "mood", "input": "good"})
    line = the_line(caplog)
    assert (line["code"], line["limit"]) == ("limit_exceeded", "tokens_per_second")


def test_a_key_that_is_sent_as_an_id_is_not_logged(
    rest: Rest, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "polyprefix.requests")
    key = rest.keys["acme"]
    for given, headers in (
        (key, {}),
        (f"id-{key}", {}),
        ("s3cret", {"Authorization": "Bearer s3cret"}),
    ):
        response = rest.call("GET", "/livez", headers={"X-Request-Id": given, **headers})
        assert re.fullmatch(r"[0-9a-f]{32}", response.headers["x-request-id"])
    until(lambda: len(caplog.records) >= 3)
    assert not any(
        key in JsonFormatter().format(record) or "s3cret" in JsonFormatter().format(record)
        for record in caplog.records
    )
    response = rest.call("GET", "/livez", headers={"X-Request-Id": "app_1"})
    assert response.headers["x-request-id"] == "app_1"
