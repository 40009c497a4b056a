"""The configurations of proxies in docs/operating.md, run by the real programs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from prefixes.backbone import Backbone
from prefixes.registry import ApiKeys, open_registry
from server.api.middleware.bodies import FORM_BYTES
from tests.factories import make_prefix
from tests.server.hosting.certificates import CertificateFiles
from tests.server.hosting.processes import server_process, upload
from tests.server.hosting.proxies import NAMES, proxy
from tests.server.rest import on_a_port
from tests.server.test_bad_requests import check_problem
from tests.server.training_jobs.trainings import LONG, follow, start_training
from tests.training.learnable_tasks import sentiment_rows, write_csv

_MIB = 2**20


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    return CertificateFiles.make(tmp_path_factory.mktemp("tls"), "proxy")


@pytest.fixture(scope="module", params=NAMES)
def client(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    files: CertificateFiles,
    backbone_folder: Path,
) -> Iterator[httpx.Client]:
    """A client of a server behind a proxy."""
    folder = tmp_path_factory.mktemp(request.param)
    registry = open_registry(folder / "store")
    registry.ensure_tenant("acme")
    key = ApiKeys(registry.database).issue("acme", "test").key
    registry.close()
    with (
        server_process(folder / "store", "--backbone", str(backbone_folder)) as (_, upstream),
        proxy(request.param, upstream, files, folder) as url,
        httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            verify=files.trusted(),
            timeout=60,
        ) as found,
    ):
        yield found


def test_requests_and_files_pass_and_the_server_knows_of_tls(
    client: httpx.Client, backbone: Backbone
) -> None:
    data = make_prefix(backbone.fingerprint).to_bytes()
    assert upload(client, "mood", data).status_code == 201
    answer = client.post("/v1/classify", json={"model": "mood", "input": "good"})
    assert answer.json()["results"][0]["model"] == "acme/mood@1"
    assert "max-age" in answer.headers["strict-transport-security"]
    assert client.get("/v1/tenants/acme/prefixes/mood/versions/1/file").content == data


def test_a_body_beyond_the_limit_gets_the_error_of_the_server_or_of_the_proxy(
    client: httpx.Client,
) -> None:
    too_large = upload(client, "mood", bytes(64 * _MIB + 2 * FORM_BYTES))
    check_problem(too_large, 413, "body_too_large")
    too_large = upload(client, "mood", bytes(66 * _MIB))
    assert too_large.status_code == 413
    assert client.get("/livez").status_code == 200


def test_events_of_a_training_arrive_while_it_runs(client: httpx.Client, tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "rows.csv", sentiment_rows(60)).read_bytes()
    started = start_training(client, rows, LONG)
    assert started.status_code == 202, started.text
    path = started.json()["links"]["self"]
    states: list[str] = []
    for kind, data in follow(client, path):
        if kind == "state":
            states.append(data["state"])
        if len(states) == 1:
            client.post(f"{path}/cancel")
    assert states[0] in {"queued", "running"}
    assert states[-1] == "cancelled"


@pytest.mark.parametrize("name", NAMES)
def test_callers_cannot_choose_their_address(
    name: str, files: CertificateFiles, tmp_path: Path
) -> None:
    with (
        on_a_port(show_client, forwarded_allow_ips="127.0.0.1") as upstream,
        proxy(name, upstream, files, tmp_path) as url,
    ):
        forged = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "http"}
        seen = httpx.get(url, headers=forged, verify=files.trusted()).json()
        assert seen == {"client": "127.0.0.1", "scheme": "https"}
        direct = httpx.get(upstream, headers=forged).json()
        assert direct == {"client": "203.0.113.9", "scheme": "http"}


async def show_client(scope: Any, _receive: Any, send: Any) -> None:
    """Respond with the caller's address and scheme, as uvicorn reports them."""
    if scope["type"] != "http":
        return
    seen = {"client": scope["client"][0], "scheme": scope["scheme"]}
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(seen).encode()})
