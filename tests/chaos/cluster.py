"""A cluster for the soak: two servers that share PostgreSQL and a bucket, and nothing else."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from sqlalchemy import make_url

from prefixes.backbone import load_backbone
from prefixes.registry import ApiKeys, open_registry
from tests.chaos import links
from tests.chaos.clocks import Clock
from tests.chaos.faults import (
    ClockJump,
    Fault,
    FullDisk,
    KilledServer,
    NetworkSplit,
    ScarceMemory,
    SlowStore,
    StoppedService,
    TruncatingStore,
)
from tests.chaos.publishing import Publisher
from tests.chaos.servers import SharingServer
from tests.chaos.soak import Soak
from tests.chaos.traffic import Traffic
from tests.factories import make_backbone_folder
from tests.full_disk import small_disk
from tests.postgresql import PostgresServer
from tests.seaweedfs import SeaweedServer, settings_of
from tests.tcp_proxy import FaultyProxy

_TENANT: Final = "acme"
_TASK: Final = "numbered"
_DISK_KIB: Final = 256 * 1024
_CACHE_MIB: Final = "64"
_MEMORY_MIB: Final = "1"
"""So little that most old versions are loaded again."""

_HOUR: Final = 3600


@dataclass(frozen=True, slots=True)
class Services:
    """The services that the servers share."""

    database: PostgresServer
    store: SeaweedServer


@contextmanager
def soak_of_servers(folder: Path, services: Services, *, pause: float = 0.5) -> Iterator[Soak]:
    """Start servers that share services, and publish a first version.

    The second server has a network of its own, and a clock that can be set, where the machine
    allows it. `pause` are the seconds between two publications.
    """
    with ExitStack() as stack:
        disk = stack.enter_context(small_disk(folder / "disk", kib=_DISK_KIB))
        cluster = _Cluster(folder, disk, services, stack)
        for server in cluster.servers:
            server.launch()
            stack.callback(server.kill)
        for server in cluster.servers:
            server.wait_until_it_listens()
        publisher = cluster.publisher(pause)
        with publisher.client() as client:
            assert publisher.publish(client, 0)
        faults, absent = cluster.faults()
        yield Soak(Traffic(cluster.servers, publisher), publisher, faults, absent)


class _Cluster:
    """Two servers, and the proxies, the network and the clock through which they can suffer."""

    def __init__(self, folder: Path, disk: Path, services: Services, stack: ExitStack) -> None:
        self._backbone = make_backbone_folder(folder / "backbone")
        self._disk = disk
        self._services = services
        self._stack = stack
        self._name = services.database.create_database()
        self._bucket = services.store.new_bucket()
        self._why_no_network = links.why_not()
        self._network = None if self._why_no_network else stack.enter_context(links.namespace())
        self._clock = Clock.make(folder / "clock")
        self._stores: list[FaultyProxy] = []
        self.servers = [self._server("first"), self._second()]

    def publisher(self, pause: float) -> Publisher:
        """Make a tenant and a key for the publisher."""
        url = self._services.database.url(self._name)
        registry = open_registry(self._disk / "elsewhere", database_url=url, bucket=self._bucket)
        registry.ensure_tenant(_TENANT)
        key = ApiKeys(registry.database).issue(_TENANT, "soak", role="upload").key
        registry.close()
        fingerprint = load_backbone(self._backbone, device="cpu").fingerprint
        return Publisher(self.servers, key, _TENANT, _TASK, fingerprint, pause)

    def faults(self) -> tuple[list[Fault], dict[str, str]]:
        """Return the faults, and those that this machine cannot inject with the reason."""
        services = self._services
        faults: list[Fault] = [
            *(KilledServer(self.servers, number) for number in range(len(self.servers))),
            StoppedService("database stopped", services.database),
            StoppedService("store stopped", services.store),
            SlowStore("store slow", self._stores),
            TruncatingStore("replies of the store truncated", self._stores),
            ScarceMemory("memory scarce", self.servers[0]),
        ]
        absent = {}
        if self._disk.is_mount():
            faults.append(FullDisk("disk full", self._disk))
        else:
            absent["disk full"] = "needs the right to mount a small disk"
        if self._network is None:
            absent["network split"] = str(self._why_no_network)
        else:
            faults.append(NetworkSplit("network split", self._network.services))
        if self._clock is None:
            absent["clock jumps"] = "needs libfaketime"
        else:
            faults.append(ClockJump("clock an hour ahead", self._clock, _HOUR))
            faults.append(ClockJump("clock an hour behind", self._clock, -_HOUR))
        return faults, absent

    def _second(self) -> SharingServer:
        """Return the server that can be cut off, and whose clock jumps."""
        settings = self._clock.settings if self._clock else {}
        if self._network is None:
            return self._server("second", settings=settings)
        address = str(self._network.services.near)
        server = self._server("second", address, settings)
        server.host, server.prefix = str(self._network.clients.far), self._network.command
        return server

    def _server(
        self, name: str, services: str = "127.0.0.1", settings: Mapping[str, str] = {}
    ) -> SharingServer:
        """Return a server that reaches the services through proxies at an address."""
        database, store = self._services.database, self._services.store
        relay = self._stack.enter_context(FaultyProxy(database.port, services))
        proxy = self._stack.enter_context(FaultyProxy(store.port, services))
        self._stores.append(proxy)
        url = make_url(database.url(self._name)).set(host=services, port=relay.port)
        bucket = replace(self._bucket, endpoint_url=f"http://{services}:{proxy.port}")
        return SharingServer(
            self._disk / name,
            self._backbone,
            {
                "POLYPREFIX_DATABASE_URL": url.render_as_string(hide_password=False),
                "POLYPREFIX_RESIDENT_MIB": _MEMORY_MIB,
                "POLYPREFIX_STORE_CACHE_MIB": _CACHE_MIB,
                **settings_of(bucket),
                **settings,
            },
        )
