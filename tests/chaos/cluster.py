"""A cluster for the soak: servers on one database and one store folder, with a numbered task."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from prefixes.backbone import load_backbone
from prefixes.registry import ApiKeys, open_registry
from tests.chaos.faults import Fault, FullDisk, KilledServer, StoppedDatabase
from tests.chaos.publishing import Publisher
from tests.chaos.servers import SharingServer
from tests.chaos.soak import Soak
from tests.chaos.traffic import Traffic
from tests.factories import make_backbone_folder
from tests.full_disk import small_disk
from tests.postgresql import PostgresServer

_TENANT: Final = "acme"
_TASK: Final = "numbered"
_DISK_KIB: Final = 256 * 1024
_NUM_SERVERS: Final = 2


@contextmanager
def soak_of_servers(folder: Path, database: PostgresServer) -> Iterator[Soak]:
    """Start servers that share a database and a small disk, and publish a first version."""
    make_backbone_folder(folder / "backbone")
    backbone = load_backbone(folder / "backbone", device="cpu")
    url = database.url(database.create_database())
    with small_disk(folder / "disk", kib=_DISK_KIB) as disk, ExitStack() as stack:
        store = disk / "store"
        registry = open_registry(store, database_url=url)
        registry.ensure_tenant(_TENANT)
        key = ApiKeys(registry.database).issue(_TENANT, "soak", role="upload").key
        registry.close()
        servers = [
            SharingServer(store, folder / "backbone", url, folder / f"server-{number}.log")
            for number in range(_NUM_SERVERS)
        ]
        for server in servers:
            server.start()
            stack.callback(server.kill)
        publisher = Publisher(servers, key, _TENANT, _TASK, backbone.fingerprint)
        with publisher.client() as client:
            assert publisher.publish(client, servers[0])
        faults: list[Fault] = [
            *(KilledServer(servers, number) for number in range(_NUM_SERVERS)),
            StoppedDatabase(database),
            FullDisk(disk),
        ]
        yield Soak(Traffic(servers, key, [_TASK]), publisher, faults)
