"""Attacks on a fresh server: clients that stall, send wrong sizes, and hold connections.

    python -m bench.attacks [--front-ends N] [--seconds N]

Each attack runs against a separate server with default settings. Meanwhile an ordinary client with
a key and one without send requests, and the script counts the statuses that they get.
"""

import argparse
import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.attackers import (
    Attacker,
    ask,
    classify,
    oversized_body,
    stalled_body,
    stalled_upload,
    statuses,
    upload,
)

ROOT: Final = Path(__file__).parents[1]
NUM_STALLED: Final = 64
NUM_OVERSIZED: Final = 300
NUM_PROBED: Final = 120
NUM_IDLE: Final = 3000
STALLING_TENANTS: Final = ("mallory1", "mallory2", "mallory3", "mallory4")
_COMMAND: Final = (sys.executable, "-P", "-m", "server")


@dataclass(frozen=True, slots=True)
class Victim:
    """A server under attack, and the keys of its tenants."""

    process: subprocess.Popen[str]
    port: int
    keys: dict[str, str]

    def memory_mib(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]


@contextmanager
def victim(num_front_ends: int) -> Iterator[Victim]:
    """Start a server with an empty store; kill it at the end of the block."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with tempfile.TemporaryDirectory() as folder:
        store = ("--store-folder", folder)
        keys = {
            tenant: subprocess.check_output(
                [*_COMMAND, "key", "create", tenant, *store], env=environment, text=True
            ).strip()
            for tenant in ("alice", *STALLING_TENANTS)
        }
        process = subprocess.Popen(
            [*_COMMAND, "serve", "--port", "0", *store, "--num-front-ends", str(num_front_ends)],
            env={**environment, "POLYPREFIX_EXAMPLES_FOLDER": str(ROOT / "examples" / "prefixes")},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        try:
            found = next(filter(None, (re.search(r":(\d+);", line) for line in process.stdout)))
            yield Victim(process, int(found[1]), keys)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


async def during(
    attackers: list[Attacker],
    attack: list[Awaitable[None]],
    probes: dict[str, tuple[int, bytes]],
    seconds: float,
) -> dict[str, Counter[str]]:
    """Attack, and meanwhile send each probe twice a second; return the statuses of each."""
    attacking = [asyncio.ensure_future(one) for one in attack]
    for one in attackers:
        await one.has_sent.wait()
    await asyncio.sleep(3.0)  # until the server has read the bytes in flight
    seen: dict[str, Counter[str]] = {name: Counter() for name in probes}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for name, (port, request) in probes.items():
            seen[name][await ask(port, request)] += 1
        await asyncio.sleep(0.5)
    for task in attacking:
        task.cancel()
    await asyncio.gather(*attacking, return_exceptions=True)
    return seen


async def stalled_bodies(server: Victim, seconds: float) -> None:
    attackers = [Attacker(server.port) for _ in range(NUM_STALLED)]
    probes = {
        "with a key": (server.port, classify(server.keys["alice"])),
        "without": (server.port, classify(None)),
    }
    seen = await during(attackers, [one.run(stalled_body) for one in attackers], probes, seconds)
    print(f"{NUM_STALLED} stalled bodies of 4 MiB without a key, for {seconds:g} s")
    print(f"  attackers: {statuses(attackers)}")
    for name, counts in seen.items():
        print(f"  requests {name}: {dict(counts)}")


async def wearing_bodies(server: Victim, _seconds: float) -> None:
    refused = [Attacker(server.port) for _ in range(NUM_OVERSIZED)]
    for first in range(0, NUM_OVERSIZED, 10):
        await asyncio.gather(*(one.run(oversized_body) for one in refused[first : first + 10]))
    holders = [Attacker(server.port) for _ in range(NUM_PROBED)]
    tasks = [asyncio.ensure_future(one.run(stalled_body)) for one in holders]
    await asyncio.sleep(5.0)
    num_held = sum(one.status is None and not one.is_closed for one in holders)
    print(f"{NUM_OVERSIZED} chunked bodies that exceed the limit: {statuses(refused)}")
    print(f"  then accepted of {NUM_PROBED} stalled bodies of 4 MiB: {num_held}")
    print(f"  memory of the server: {server.memory_mib():.0f} MiB")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def stalled_uploads(server: Victim, seconds: float) -> None:
    owners = [tenant for tenant in STALLING_TENANTS for _ in range(4)]
    attackers = [Attacker(server.port) for _ in owners]
    attack: list[Awaitable[None]] = [
        one.run(lambda tenant=tenant: stalled_upload(tenant, server.keys[tenant]))  # type: ignore[misc]
        for one, tenant in zip(attackers, owners, strict=True)
    ]
    probes = {"of another tenant": (server.port, upload("alice", server.keys["alice"]))}
    seen = await during(attackers, attack, probes, seconds)
    print(f"4 stalled uploads of each of 4 tenants, for {seconds:g} s")
    print(f"  attackers: {statuses(attackers)}")
    print(
        f"  uploads of another tenant (422: read and rejected): {dict(seen['of another tenant'])}"
    )


async def idle_connections(server: Victim, seconds: float) -> None:
    def nothing() -> Iterator[bytes]:
        yield from ()

    attackers = [Attacker(server.port) for _ in range(NUM_IDLE)]
    probes = {"with a key": (server.port, classify(server.keys["alice"]))}
    seen = await during(
        attackers, [one.run(nothing) for one in attackers], probes, min(seconds, 5.0)
    )
    print(f"{NUM_IDLE} idle connections, from the same address as all clients")
    print(f"  attackers: {statuses(attackers)}")
    print(f"  requests with a key: {dict(seen['with a key'])}")


async def half_a_body_at_the_end(server: Victim, _seconds: float) -> None:
    attacker = asyncio.ensure_future(Attacker(server.port).run(stalled_body))
    await asyncio.sleep(1.0)
    started = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    code = await asyncio.to_thread(server.process.wait)
    print(f"SIGTERM with half a body open: code {code} after {time.monotonic() - started:.1f} s")
    attacker.cancel()


ATTACKS: Final = (
    stalled_bodies,
    wearing_bodies,
    stalled_uploads,
    idle_connections,
    half_a_body_at_the_end,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--front-ends", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--only", nargs="*", choices=[attack.__name__ for attack in ATTACKS])
    options = parser.parse_args()
    for attack in ATTACKS:
        if options.only and attack.__name__ not in options.only:
            continue
        with victim(options.front_ends) as server:
            asyncio.run(attack(server, options.seconds))


if __name__ == "__main__":
    main()
