"""The start of a server on Ray, without a cluster."""

from typing import Any

import pytest

from server.errors import ServerFailed
from server.settings import Settings

ray = pytest.importorskip("ray", reason="needs the extra `ray`")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Ray's own, at import


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ray.exceptions.RayActorError(), "before finishing this task"),
        (TimeoutError("HTTP proxies not available after 60s."), "not available after 60s"),
    ],
)
def test_a_proxy_that_does_not_start_is_an_error_that_names_the_logs(
    error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from server.hosting.ray.serving import _deploy

    def start(**_: Any) -> None:
        raise error

    monkeypatch.setattr("ray.serve.start", start)
    with pytest.raises(ServerFailed, match=f"{reason}[^\\n]* The logs of Ray say why"):
        _deploy(Settings(), 8000)
