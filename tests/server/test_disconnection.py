import contextlib
import threading

import httpx
import pytest

from tests.server.conftest import Serve
from tests.server.rest import until

BODY = {"model": "examples/mood", "input": "good"}


@pytest.mark.parametrize("route", ["/v1/classify", "/classify", "/predict"])
def test_work_is_canceled_when_its_client_disconnects(serve: Serve, route: str) -> None:
    rest, engine = serve()
    engine.hold()
    body = BODY | {"inputs": "good"} if route == "/predict" else BODY
    if route == "/predict":
        body.pop("input")
    with contextlib.suppress(httpx.ReadTimeout), httpx.Client(timeout=0.2) as client:
        client.post(rest.url + route, json=body)
    until(lambda: engine.num_cancelled == 1)
    assert engine.num_waiting == 0
    metrics = rest.call("GET", "/metrics").text
    assert f'polyprefix_requests_total{{route="{route}",status="499"}} 1.0' in metrics


def test_a_client_that_waits_is_answered(serve: Serve) -> None:
    rest, engine = serve()
    engine.hold()
    answers = []
    sender = threading.Thread(
        target=lambda: answers.append(rest.call("POST", "/v1/classify", json=BODY))
    )
    sender.start()
    until(lambda: engine.num_waiting == 1)
    engine.release()
    sender.join()
    assert answers[0].status_code == 200
    assert engine.num_cancelled == 0
