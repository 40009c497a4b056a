import pytest

from tests.server.conftest import Serve


def test_readyz_says_why_the_server_is_not_ready(serve: Serve) -> None:
    rest, engine = serve()
    assert rest.call("GET", "/readyz").json() == {"status": "ready"}
    engine.problem = "the device failed: out of memory"
    response = rest.call("GET", "/readyz")
    assert (response.status_code, response.json()["code"]) == (503, "not_ready")
    assert "out of memory" in response.json()["detail"]
    assert response.headers["retry-after"]
    assert rest.call("GET", "/livez").status_code == 200


@pytest.mark.parametrize("path", ["/livez", "/health", "/ping", "/v2/health/live"])
def test_a_server_whose_device_failed_is_to_be_restarted(serve: Serve, path: str) -> None:
    rest, engine = serve()
    assert rest.call("GET", path).status_code == 200
    engine.device_failure = "the device failed: AcceleratorError"
    response = rest.call("GET", path)
    assert (response.status_code, response.json()["code"]) == (503, "not_ready")
    assert "AcceleratorError" in response.json()["detail"]


def test_an_unreadable_store_makes_the_server_unready_without_naming_its_path(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    rest, _ = serve()
    rest.registry.database.close()
    for path in rest.folder.glob("registry.db*"):
        path.unlink()
    rest.folder.joinpath("registry.db").mkdir()
    response = rest.call("GET", "/readyz")
    assert response.status_code == 503
    assert "database" in response.json()["detail"]
    assert "registry.db" not in response.text
    assert str(rest.folder) not in response.text
    assert any("registry.db" in record.getMessage() for record in caplog.records)
