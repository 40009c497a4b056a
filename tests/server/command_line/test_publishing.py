"""Publishing to a store folder or a server, and the messages of its errors."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from prefixes import PrefixRef
from prefixes.backbone import Backbone
from prefixes.registry import open_registry
from server.command_line.publishing import Destination
from tests.factories import make_prefix, with_golden
from training.errors import PublishFailed
from training.results.finish import FinishedPrefix
from training.tasks.metrics import Measurement


@pytest.fixture
def finished(backbone: Backbone) -> FinishedPrefix:
    prefix = with_golden(backbone, make_prefix(backbone.fingerprint), ("good film",))
    return FinishedPrefix(prefix, prefix.to_bytes(), Measurement({"accuracy": 1.0}), None, None)


@dataclass(slots=True)
class FakeServer:
    """Answers like the upload endpoint, and records the requests."""

    url: str = ""
    refusal: tuple[int, bytes] | None = None
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Any:
        self.requests.append((method, path, headers, body))
        if headers.get("Authorization") != "Bearer secret":
            return 401, b'{"title": "Unauthorized", "detail": "The key opens nothing"}'
        if not path.startswith("/v1/tenants/acme/"):
            return 404, b'{"title": "Not found", "detail": "No such prefix"}'
        if b'name="file"' not in body:
            return 422, b'{"title": "Bad upload", "detail": "The form has no `file`"}'
        if self.refusal is not None:
            return self.refusal
        return 201, json.dumps({"ref": "acme/mood@3", "version": 3}).encode()


@contextmanager
def serving(server: FakeServer) -> Iterator[FakeServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self._reply("POST")

        def _reply(self, method: str) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, content = server.answer(method, self.path, dict(self.headers), body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listener.serve_forever)
    thread.start()
    server.url = f"http://127.0.0.1:{listener.server_port}"
    try:
        yield server
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()


def test_a_folder_gets_a_new_version_that_can_be_read(
    finished: FinishedPrefix, tmp_path: Path
) -> None:
    destination = Destination(str(tmp_path), alias="candidate")
    destination.check("acme/mood")
    assert destination.publish(finished, "acme/mood") == "acme/mood@1"
    registry = open_registry(tmp_path)
    found = registry.version(PrefixRef.parse("acme/mood:candidate"), reader="acme")
    assert registry.store.get(found.digest) == finished.data
    registry.close()


def test_publishing_to_a_public_tenant_leaves_it_public(
    finished: FinishedPrefix, tmp_path: Path
) -> None:
    registry = open_registry(tmp_path)
    registry.ensure_tenant("acme", is_public=True)
    registry.close()
    Destination(str(tmp_path)).publish(finished, "acme/mood")
    registry = open_registry(tmp_path)
    assert registry.tenant("acme").is_public
    registry.close()


def test_a_server_gets_the_file_with_key_and_alias(finished: FinishedPrefix) -> None:
    with serving(FakeServer()) as server:
        destination = Destination(f"{server.url}/", "secret", "live")
        destination.check("acme/mood")
        assert destination.publish(finished, "acme/mood") == "acme/mood@3"
    method, path, _, body = server.requests[-1]
    assert (method, path) == ("POST", "/v1/tenants/acme/prefixes/mood/versions")
    assert finished.data in body
    assert b'name="alias"' in body


def test_a_version_without_an_alias_names_none(finished: FinishedPrefix) -> None:
    with serving(FakeServer()) as server:
        Destination(server.url, "secret").publish(finished, "acme/mood")
    assert b"alias" not in server.requests[-1][3]


def test_a_wrong_key_is_found_before_anything_is_trained() -> None:
    with serving(FakeServer()) as server, pytest.raises(PublishFailed, match="The key opens"):
        Destination(server.url, "wrong").check("acme/mood")


def test_another_tenants_key_is_found_before_anything_is_trained() -> None:
    with serving(FakeServer()) as server, pytest.raises(PublishFailed, match="No such prefix"):
        Destination(server.url, "secret").check("globex/mood")


def test_a_refusal_is_told_with_every_finding(finished: FinishedPrefix) -> None:
    finding = {"subject": "prefix.keys", "expected": "finite numbers", "found": "3 NaN"}
    problem = {"title": "Refused", "detail": "The prefix was refused", "findings": [finding]}
    refusing = FakeServer(refusal=(422, json.dumps(problem).encode()))
    with serving(refusing) as server, pytest.raises(PublishFailed) as caught:
        Destination(server.url, "secret").publish(finished, "acme/mood")
    assert "The prefix was refused" in str(caught.value)
    assert "prefix.keys: expected finite numbers, found 3 NaN" in str(caught.value)


@pytest.mark.parametrize("content", [b"<html>Bad gateway</html>", b"[]", b'{"findings": [3]}'])
def test_an_answer_of_another_kind_is_told_by_its_status(
    finished: FinishedPrefix, content: bytes
) -> None:
    refusing = FakeServer(refusal=(502, content))
    with serving(refusing) as server, pytest.raises(PublishFailed, match="status 502"):
        Destination(server.url, "secret").publish(finished, "acme/mood")


@pytest.mark.parametrize("target", ["http://127.0.0.1:1", "http://", "http://[::1"])
def test_a_server_that_is_not_there_is_named(target: str) -> None:
    with pytest.raises(PublishFailed, match=r"Publishing to http://"):
        Destination(target, "secret").check("acme/mood")


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    with pytest.raises(PublishFailed, match=f"Publishing to {file}"):
        Destination(str(file)).check("acme/mood")
