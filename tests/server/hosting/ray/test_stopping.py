"""A server on a real Ray cluster that is stopped."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefixes.backbone import Backbone
from tests.server.hosting.ray.cluster import TASKS, RayServer, ray_server, why_not

WHY_NOT = why_not()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))


@pytest.fixture
def server(tmp_path: Path, backbone: Backbone, backbone_folder: Path) -> Iterator[RayServer]:
    with ray_server(tmp_path, backbone, backbone_folder) as running:
        yield running


def test_a_signal_lets_requests_in_flight_finish(server: RayServer) -> None:
    body = {"input": [{"model": TASKS[n % 8], "text": "a good film " * 9} for n in range(250)]}
    statuses: list[int] = []

    def ask() -> None:
        with server.client() as client:
            statuses.append(client.post("/v1/classify", json=body).status_code)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    while not sum(server.samples("polyprefix_waiting_inputs")) and any(
        thread.is_alive() for thread in threads
    ):
        pass
    server.process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join()

    assert set(statuses) <= {200, 404}, "the proxy rejects new requests with 404"
    assert 200 in statuses
    assert server.process.wait(timeout=60) == 0
