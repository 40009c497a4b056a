"""Crashes: kill a server at random moments, and check that no acknowledged change is lost.

    python -m bench.crashes --kills 200

Three tenants publish, promote, roll back, delete, train, share, and change canaries, keys and
limits concurrently, on a small random backbone. Between two kills all files get an old timestamp,
so that the next start sweeps every file that it does not know. Each server is forked from a process
that has already imported the program, since imports take most of the time of a start.
"""

import argparse
import multiprocessing
import os
import random
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final, TextIO

from bench.changing import Tenant
from prefixes.backbone import load_backbone
from prefixes.registry import ApiKeys, open_registry
from server.command_line.main import main as main_of_server
from tests.factories import make_backbone_folder

_TENANTS: Final = ("one", "two", "three")
_MAX_CHANGES_BEFORE_KILL: Final = 30
_MAX_SECONDS_AFTER_THEM: Final = 0.1
_MAX_SECONDS_AT_START: Final = 2.0
_SHARE_KILLED_AT_START: Final = 0.15
_LOG: Final = Path(tempfile.gettempdir()) / "crashes.log"
_OLD: Final = 1_000_000_000.0


@dataclass(frozen=True, slots=True, eq=False)
class _Server:
    process: BaseProcess
    output: TextIO


@contextmanager
def _server(store: Path, backbone: Path) -> Iterator[_Server]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [
            "server.command_line.main",
            "server.hosting.assembly",
            "training.service.protocol.tenant_config",
        ]
    )
    receiving, sending = context.Pipe(duplex=False)
    flags = ("--port", "0", "--store-folder", str(store))
    flags += ("--backbone", str(backbone), "--dtype", "float32", "--num-threads", "1")
    process = context.Process(target=_serve, args=(sending, flags))
    process.start()
    sending.close()  # only the server's end stays open, which closes when the server dies
    with receiving, os.fdopen(os.dup(receiving.fileno()), encoding="utf-8") as output:
        try:
            yield _Server(process, output)
        finally:
            process.kill()
            process.join()


def _serve(output: Connection, flags: Sequence[str]) -> None:
    """Run the command `serve` in this process and send its output to the script."""
    os.dup2(output.fileno(), 1)
    os.dup2(os.open(_LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), 2)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.argv = ["polyprefix", "serve", *flags]
    main_of_server()


def _check(server: _Server, tenants: Sequence[Tenant]) -> None:
    """Wait until the server listens, and compare its content with what it acknowledged."""
    lines = (re.search(r"listens on (http://\S+);", line) for line in server.output)
    url = next((found[1] for found in lines if found), None)
    if url is None:
        server.process.join()
        code = server.process.exitcode
        raise SystemExit(f"The server did not start: exit code {code}; see {_LOG}")
    for tenant in tenants:
        tenant.check(url)


def _change_until_killed(server: _Server, tenants: Sequence[Tenant], chance: random.Random) -> None:
    """Run all tenants concurrently, and kill the server shortly after some of their changes."""
    num_changes = _num_acknowledged(tenants) + chance.randint(0, _MAX_CHANGES_BEFORE_KILL)
    writers = [threading.Thread(target=tenant.work) for tenant in tenants]
    for writer in writers:
        writer.start()
    while _num_acknowledged(tenants) < num_changes and any(map(threading.Thread.is_alive, writers)):
        time.sleep(0.001)
    time.sleep(chance.uniform(0, _MAX_SECONDS_AFTER_THEM))
    server.process.kill()
    for writer in writers:
        writer.join()


def _num_acknowledged(tenants: Sequence[Tenant]) -> int:
    return sum(tenant.acknowledged.total() for tenant in tenants)


def _make_old(store: Path) -> None:
    for path in (*store.glob("blobs/*/*"), *store.glob("staging/*"), *store.glob("trainings/*")):
        os.utime(path, (_OLD, _OLD))


def main() -> int:
    """Kill servers; return exit code 1 if an acknowledged change was lost."""
    parser = argparse.ArgumentParser(prog="python -m bench.crashes", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    # The servers inherit this setting, since their streams would use all cores otherwise.
    os.environ["OMP_NUM_THREADS"] = "1"
    chance = random.Random(options.seed)  # noqa: S311 - a benchmark, no secret
    with tempfile.TemporaryDirectory(prefix="crashes-") as name:
        folder = Path(name)
        backbone = make_backbone_folder(folder / "backbone")
        facts = load_backbone(str(backbone), device="cpu").fingerprint
        store = folder / "store"
        registry = open_registry(store)
        tenants = []
        for number, tenant in enumerate(_TENANTS):
            registry.ensure_tenant(tenant)
            key = ApiKeys(registry.database).issue(tenant, "crashes").key
            chances = random.Random(chance.random())  # noqa: S311 - as above
            tenants.append(Tenant(tenant, key, facts, chances, number * 1_000_000))
        registry.close()
        problems = _kill_again_and_again(options.kills, store, backbone, tenants, chance)
    return 1 if problems else 0


def _kill_again_and_again(
    num_kills: int, store: Path, backbone: Path, tenants: Sequence[Tenant], chance: random.Random
) -> list[str]:
    for kill in range(num_kills):
        with _server(store, backbone) as server:
            if chance.random() < _SHARE_KILLED_AT_START:
                time.sleep(chance.uniform(0, _MAX_SECONDS_AT_START))
            else:
                _check(server, tenants)
                _change_until_killed(server, tenants, chance)
        _make_old(store)
        _report(kill + 1, tenants, store)
    with _server(store, backbone) as server:
        _check(server, tenants)
    _report(num_kills, tenants, store)
    return [problem for tenant in tenants for problem in tenant.problems]


def _report(num_kills: int, tenants: Sequence[Tenant], store: Path) -> None:
    total: Counter[str] = Counter()
    for tenant in tenants:
        total += tenant.acknowledged
    problems = [problem for tenant in tenants for problem in tenant.problems]
    acknowledged = ", ".join(f"{number} {kind}" for kind, number in sorted(total.items()))
    num_quarantined = len(list(store.glob("quarantine/*/*")))
    print(
        f"{num_kills} kills, {total.total()} acknowledged changes ({acknowledged}), "
        f"{num_quarantined} files in quarantine, {len(problems)} problems",
        *problems[-3:],
        sep="\n  ",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
