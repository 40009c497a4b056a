"""Reads existing prefix files from a path, a store or a server."""

from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import httpx

from prefixes import PrefixError, PrefixRef
from prefixes.file import MAX_FILE_BYTES
from prefixes.registry import open_registry
from training.errors import PlanRejected

_TIMEOUT_SECONDS: Final = 60.0


def read_published(source: str, *, key: str = "") -> bytes:
    """Read the bytes of a prefix file.

    Args:
        source: a path; or `PLACE#TENANT/TASK`, optionally with `@VERSION` or `:ALIAS`. PLACE is a
            store folder or the URL of a running server, as for `--publish`.
        key: the API key for a server, if it requires one.

    Raises:
        PlanRejected: when the file cannot be read, with the reason.
    """
    place, hash_, name = source.partition("#")
    try:
        if not hash_:
            with Path(source).open("rb") as file:
                return file.read(MAX_FILE_BYTES + 1)  # a longer file is rejected later
        reference = PrefixRef.parse(name)
        if place.startswith(("http://", "https://")):
            return _download(place, reference, key)
        return _from_store(Path(place), reference)
    except (OSError, PrefixError, httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise PlanRejected(f"start_from {source!r} could not be read: {error}") from error


def _from_store(folder: Path, reference: PrefixRef) -> bytes:
    folder.stat()  # opening a registry would create a missing one
    registry = open_registry(folder)
    try:
        version = registry.version(reference, reader=reference.tenant)
        return registry.read(version.digest)
    finally:
        registry.close()


def _download(server: str, reference: PrefixRef, key: str) -> bytes:
    base = f"{server.rstrip('/')}/v1/tenants/{reference.tenant}/prefixes/{reference.task}"
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with httpx.Client(headers=headers, timeout=_TIMEOUT_SECONDS) as client:
        version = reference.version
        if version is None:
            version = _pointed_to(_found(client.get(base)).json(), reference)
        return _found(client.get(f"{base}/versions/{version}/file")).content


def _pointed_to(entry: Mapping[str, Any], reference: PrefixRef) -> int:
    versions = {alias["name"]: alias["version"] for alias in entry["aliases"]}
    found = versions.get(reference.alias)
    if found is None:
        raise ValueError(f"it has no alias {reference.alias}")
    return int(found)


def _found(reply: httpx.Response) -> httpx.Response:
    if reply.status_code != HTTPStatus.OK:
        raise ValueError(f"{reply.url.path} answered with status {reply.status_code}")
    return reply
