"""Webhooks of a server that is killed."""

from pathlib import Path

import pytest

from prefixes.backbone import Backbone
from tests.factories import make_prefix
from tests.server.hosting.processes import client, front_ends, server_process, store, upload
from tests.server.rest import until
from tests.server.webhooks.receiver import receiving

__all__ = ["front_ends", "store"]


def test_a_server_that_was_killed_delivers_its_events_after_the_next_start(
    store: tuple[Path, str],
    backbone: Backbone,
    backbone_folder: Path,
    front_ends: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, key = store
    monkeypatch.setenv("POLYPREFIX_WEBHOOK_NETWORKS", "127.0.0.1")
    flags = ("--backbone", str(backbone_folder), *front_ends)
    with receiving() as down:
        pass
    with server_process(folder, *flags) as (process, url), client(url, key) as sender:
        body = {"url": down.url(), "events": ["alias.moved"]}
        assert sender.post("/v1/tenants/acme/webhooks", json=body).status_code == 201
        data = make_prefix(backbone.fingerprint).to_bytes()
        assert upload(sender, "mood", data).status_code == 201
        process.kill()
    with receiving(down.port) as receiver, server_process(folder, *flags):
        until(lambda: len(receiver.messages) == 1)
    assert b'"alias":"live"' in receiver.messages[0].body
