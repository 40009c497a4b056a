"""Checks of a running server: its address, readiness, clock and version, and the caller's key."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

import httpx

from polyprefix_client.login import Connection
from polyprefix_client.version import __version__
from server.command_line.diagnosis.results import CheckResult, ok, problem, warning

_TIMEOUT: Final = 10.0

_MAX_SKEW: Final = timedelta(seconds=30)
"""Webhook signatures and keys that expire compare the clocks of two machines."""


def is_polyprefix(url: str) -> bool:
    """Return whether a server of polyprefix responds at a URL."""
    try:
        response = httpx.get(url, timeout=_TIMEOUT, headers={"Accept": "application/json"})
    except httpx.HTTPError:
        return False
    return version_of(response) is not None


def check_server(connection: Connection) -> Iterator[CheckResult]:
    """Check a server from a client's side. The first request that fails ends the checks."""
    with httpx.Client(
        base_url=connection.url, timeout=_TIMEOUT, headers={"Accept": "application/json"}
    ) as client:
        try:
            yield from _results(client, connection)
        except httpx.HTTPError as error:
            yield _unreachable(connection, error)


def _results(client: httpx.Client, connection: Connection) -> Iterator[CheckResult]:
    response = client.get("/")
    version = version_of(response)
    if version is None:
        yield _other_program(connection)
        return
    yield ok("server", f"polyprefix {version} at {connection.url} ({connection.url_source})")
    yield check_versions(__version__, version)
    yield check_clock(response, datetime.now(UTC))
    yield _check_ready(client)
    yield _check_key(client, connection)


def version_of(response: httpx.Response) -> str | None:
    """Return the version of the polyprefix server that responded; None for another program."""
    try:
        summary = response.json()
        return str(summary["version"]) if summary["name"] == "polyprefix" else None
    except (ValueError, KeyError, TypeError):
        return None


def _unreachable(connection: Connection, error: httpx.HTTPError) -> CheckResult:
    return problem(
        "server",
        f"{connection.url} ({connection.url_source}) does not respond: {error}.",
        "Start the server with `polyprefix serve`, or correct the URL: --url, POLYPREFIX_URL or "
        "`polyprefix login`.",
    )


def _other_program(connection: Connection) -> CheckResult:
    return problem(
        "server",
        f"The program at {connection.url} is not polyprefix.",
        "Correct the URL: --url, POLYPREFIX_URL or `polyprefix login`. Behind a proxy, check its "
        "path prefix.",
    )


def check_versions(client: str, server: str) -> CheckResult:
    """Check that the client is as new as the server. Both are released together."""
    if _release(client) == _release(server):
        return ok("client", f"version {client}, as the server")
    if _release(client) < _release(server):
        found, name = f"The client {client} is older than the server {server}.", "client"
    else:
        found, name = f"The server {server} is older than the client {client}.", "server"
    return warning(
        "client", found, f"Upgrade the {name}: newer fields and routes are missing in it."
    )


def _release(version: str) -> tuple[int, ...]:
    """Return the first two numbers of a version: patches do not change the interface."""
    numbers = version.split("+", maxsplit=1)[0].split(".")[:2]
    return tuple(int(number) if number.isdigit() else 0 for number in numbers)


def check_clock(response: httpx.Response, now: datetime) -> CheckResult:
    """Compare the clocks by the header `Date`, which has whole seconds."""
    try:
        there = parsedate_to_datetime(response.headers["date"])
    except (KeyError, ValueError):
        return warning(
            "clock",
            "The response has no valid `Date`, so the clocks could not be compared.",
            "Check whether a proxy removes the header.",
        )
    skew = there - (now - response.elapsed)
    if abs(skew) <= _MAX_SKEW:
        return ok("clock", f"within {_MAX_SKEW.seconds} s of the server's")
    direction = "ahead of" if skew > timedelta(0) else "behind"
    return problem(
        "clock",
        f"The server's clock is {abs(skew.total_seconds()):.0f} s {direction} this machine's.",
        "Synchronize both clocks, for example with chrony. Until then, keys expire at the wrong "
        "time, and receivers reject webhooks.",
    )


def _check_ready(client: httpx.Client) -> CheckResult:
    response = client.get("/readyz")
    if response.status_code == HTTPStatus.OK:
        warnings = response.json().get("warnings", [])
        if warnings:
            return warning("readiness", f"{'; '.join(warnings)}.", "Free space on its disk.")
        return ok("readiness", "the server accepts requests")
    reason = _detail(response)
    return problem("readiness", f"The server rejects requests: {reason}", "Read the server's log.")


def _check_key(client: httpx.Client, connection: Connection) -> CheckResult:
    if not connection.key:
        return warning(
            "key",
            "There is no API key: only tasks of public tenants can be used.",
            "Run `polyprefix login`, or set POLYPREFIX_KEY.",
        )
    headers = {"Authorization": f"Bearer {connection.key}"}
    response = client.get("/v1/me", headers=headers)
    if response.status_code == HTTPStatus.OK:
        caller = response.json()
        owner = f"tenant {caller['tenant']}" if caller["tenant"] else "the operator"
        return ok("key", f"role {caller['role']} of {owner} ({connection.key_source})")
    return problem(
        "key",
        f"The server rejects the key ({connection.key_source}): {_detail(response)}",
        "Ask an admin of the tenant for a new key (`polyprefix key create`), then run "
        "`polyprefix login`.",
    )


def _detail(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {response.status_code}."
