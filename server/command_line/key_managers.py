"""The keys that `polyprefix key` manages: of a store folder, or of a server."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Literal, cast

from polyprefix_client import Client, NotFound, PermissionDenied
from polyprefix_client.management import ApiKey as ServedKey
from prefixes.registry import ApiKey, ApiKeys, PrefixRegistry
from prefixes.registry.tables import now

_TenantRole = Literal["infer", "upload", "admin"]
_DAY_SECONDS = 86_400


class StoredKeys:
    """The keys of a store."""

    def __init__(self, registry: PrefixRegistry) -> None:
        self._registry = registry
        self._keys = ApiKeys(registry.database)

    def create(
        self, tenant: str | None, role: str, label: str, days: int | None, *, is_public: bool | None
    ) -> tuple[str, ApiKey]:
        """Create a key, and its tenant if it does not exist."""
        if tenant is not None:
            self._ensure(tenant, is_public=is_public)
        made = self._keys.issue(tenant, label, role=cast("Any", role), expires_at=_moment_in(days))
        return made.key, made.facts

    def list(self, tenant: str | None) -> Iterator[tuple[ApiKey, str]]:
        """Yield each key with its state."""
        if tenant is not None:
            self._registry.tenant(tenant)
        moment = now()
        for key in self._keys.list(tenant):
            yield key, key.state(moment)

    def rotate(
        self, _tenant: str | None, key_id: str, *, overlap_hours: int, days: int | None
    ) -> tuple[str, ApiKey]:
        """Replace a key."""
        overlap = timedelta(hours=overlap_hours)
        made = self._keys.rotate(key_id, overlap=overlap, expires_at=_moment_in(days))
        return made.key, made.facts

    def revoke(self, _tenant: str | None, key_id: str) -> None:
        """Revoke a key."""
        self._keys.revoke(key_id)

    def _ensure(self, name: str, *, is_public: bool | None) -> None:
        known = {item.name for item in self._registry.tenants()}
        if name not in known or is_public is not None:
            self._registry.ensure_tenant(name, is_public=bool(is_public))


class ServedKeys:
    """The keys of a server."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def create(
        self, tenant: str | None, role: str, label: str, days: int | None, *, is_public: bool | None
    ) -> tuple[str, ServedKey]:
        """Create a key, and its tenant if it does not exist and the caller may create it."""
        try:
            made = self._issue(tenant, role, label, days)
        except NotFound as missing:
            if tenant is None:
                raise
            try:
                self._client.tenants.create(tenant, is_public=bool(is_public))
            except PermissionDenied:
                raise missing from None
            return self.create(tenant, role, label, days, is_public=None)
        if tenant is not None and is_public is not None:
            self._client.tenants.set_public(tenant, is_public=is_public)
        return made.key, made

    def list(self, tenant: str | None) -> Iterator[tuple[ServedKey, str]]:
        """Yield each key with its state."""
        for key in self._client.keys.list(tenant):
            yield key, key.state

    def rotate(
        self, tenant: str | None, key_id: str, *, overlap_hours: int, days: int | None
    ) -> tuple[str, ServedKey]:
        """Replace a key."""
        made = self._client.keys.rotate(
            tenant,
            key_id,
            overlap_seconds=3600 * overlap_hours,
            expires_in_seconds=_seconds(days),
        )
        return made.key, made

    def revoke(self, tenant: str | None, key_id: str) -> None:
        """Revoke a key."""
        self._client.keys.revoke(tenant, key_id)

    def _issue(self, tenant: str | None, role: str, label: str, days: int | None) -> Any:
        of_tenant = None if tenant is None else cast("_TenantRole", role)
        return self._client.keys.create(
            tenant, role=of_tenant, label=label, expires_in_seconds=_seconds(days)
        )


def _moment_in(days: int | None) -> datetime | None:
    return None if days is None else now() + timedelta(days=days)


def _seconds(days: int | None) -> int | None:
    return None if days is None else days * _DAY_SECONDS
