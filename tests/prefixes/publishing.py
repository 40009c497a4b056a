"""Tiny prefixes and the processes that publish them; imports no model library, to start fast."""

import itertools
import random
from contextlib import suppress
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from prefixes import BackboneFingerprint, HeadSpec, Prefix, PrefixSpec
from prefixes.errors import PrefixNotFound
from prefixes.registry import (
    COMMAND_LINE,
    Actor,
    ApiKeys,
    Canaries,
    CanaryPlan,
    LimitStore,
    PrefixRegistry,
    PublishedVersion,
    Tenants,
    open_registry,
)

FINGERPRINT = BackboneFingerprint(
    name="tiny",
    model_type="bert",
    hidden_size=8,
    num_layers=1,
    num_heads=2,
    head_size=4,
    max_positions=64,
    vocab_size=10,
    weights_sha256="0" * 64,
    tokenizer_sha256="1" * 64,
)


def tiny_prefix(description: str) -> Prefix:
    """A prefix whose bytes differ with its description."""
    spec = PrefixSpec(
        problem_type="single_label_classification",
        labels=("bad", "good"),
        prefix_length=2,
        position_offset=2,
        max_length=16,
        head=HeadSpec(pooling="mean"),
        backbone=FINGERPRINT,
        description=description,
    )
    kv = np.zeros((1, 2, 2, 4), np.float32)
    head = {
        "head.output.weight": np.zeros((2, 8), np.float32),
        "head.output.bias": np.zeros(2, np.float32),
    }
    return Prefix(spec, {"prefix.keys": kv, "prefix.values": kv, **head})


def publish(
    registry: PrefixRegistry,
    tenant: str,
    task: str,
    description: str,
    *,
    alias: str | None = None,
    by: str = "ada",
) -> PublishedVersion:
    """Stage and publish a tiny prefix."""
    prefix = tiny_prefix(description)
    with registry.store.stage() as staged:
        staged.write(prefix.to_bytes())
        return registry.publish(tenant, task, staged, prefix, alias=alias, by=Actor(by))


def publish_until_killed(folder: Path, name: str, acknowledge: Connection) -> None:
    """Publish one new version after another and tell each number and digest once it is safe."""
    registry = open_registry(folder)
    for count in itertools.count():
        version = publish(registry, "acme", "topic", f"{name} {count}", alias="newest").version
        acknowledge.send((version.number, version.digest))


def change_keys_until_killed(folder: Path, acknowledge: Connection) -> None:
    """Issue, rotate and revoke keys, and suspend, resume and limit their tenant; tell each change
    that is safe, and the id of the key, the state of the tenant or its limit.
    """
    registry = open_registry(folder)
    keys, tenants = ApiKeys(registry.database), Tenants(registry.database)
    limits = LimitStore(registry.database)
    number = int(limits.of_tenant("acme").set.get("max_versions", 0))
    while True:
        number += 1
        limits.change_tenant(
            "acme", {"max_versions": number, "max_prefixes": number}, by=COMMAND_LINE
        )
        acknowledge.send(("limited", str(number)))
        old = keys.issue("acme", "old").key.split("_")[1]
        acknowledge.send(("issued", old))
        new = keys.rotate(old, overlap=timedelta(0)).key.split("_")[1]
        acknowledge.send(("replaced", old))
        acknowledge.send(("issued", new))
        keys.revoke(new)
        acknowledge.send(("revoked", new))
        for change in (tenants.suspend, tenants.resume):
            acknowledge.send(("tenant", change("acme", by=COMMAND_LINE).state))


def change_lifecycle_until_killed(folder: Path, acknowledge: Connection) -> None:
    """Start and promote canaries, roll back, delete and restore; tell each change that is safe."""
    registry = open_registry(folder)
    canaries, by, live = Canaries(registry.database), Actor("ada"), ("acme", "topic", "live")
    registry.promote(*live, 1, by=by)
    with suppress(PrefixNotFound):  # the last process may have been killed after deleting it
        registry.restore_version("acme", "topic", 3, by=by)
    while True:
        # A share of its own, because the same plan once more would change nothing.
        canaries.set(*live, CanaryPlan(2, random.uniform(1, 99)), by=by)
        acknowledge.send("canary")
        canaries.promote(*live, by=by)
        acknowledge.send("promote")
        registry.rollback(*live, by=by)
        acknowledge.send("rollback")
        registry.delete_version("acme", "topic", 3, by=by)
        acknowledge.send("version.delete")
        registry.restore_version("acme", "topic", 3, by=by)
        acknowledge.send("version.restore")


def publish_some(folder: Path, descriptions: list[str], answer: Connection) -> None:
    """Open the registry, which may not be there yet, and publish; tell all numbers."""
    registry = open_registry(folder)
    registry.ensure_tenant("acme")
    answer.send([publish(registry, "acme", "topic", text).version.number for text in descriptions])


def publish_and_delete(folder: Path, task: str, times: int, answer: Connection) -> None:
    """Publish and delete the same bytes again and again; tell how often they could be read."""
    registry = open_registry(folder)
    num_read = 0
    for _ in range(times):
        version = publish(registry, "acme", task, "the same for everybody").version
        num_read += len(registry.store.get(version.digest)) == version.size_bytes
        registry.remove_prefix("acme", task)
    answer.send(num_read)
