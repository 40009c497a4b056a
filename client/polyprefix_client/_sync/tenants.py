# Generated from _async/tenants.py by generate_sync.py. Change that file instead.
"""Tenants, keys and limits."""

from collections.abc import Iterator
from typing import Literal

from polyprefix_client._sync.pages import items_of
from polyprefix_client._sync.transport import Transport
from polyprefix_client.management import ApiKey, Limits, LimitValue, NewKey, Tenant
from polyprefix_client.names import segment
from polyprefix_client.requests import Call, get, matching, value_of


class Tenants:
    """Tenants. Most calls need the key of an operator."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, name: str, *, is_public: bool = False) -> Tenant:
        """Create a tenant."""
        call = Call("POST", "/v1/tenants", json={"name": name, "is_public": is_public})
        return value_of(self._transport.send(call), Tenant)

    def list(self) -> Iterator[Tenant]:
        """Yield all tenants by name, suspended and deleted ones included."""
        return items_of(self._transport, get("/v1/tenants"), "tenants", Tenant)

    def show(self, name: str) -> Tenant:
        """Show a tenant."""
        return value_of(self._transport.send(get(_path(name))), Tenant)

    def set_public(self, name: str, *, is_public: bool) -> Tenant:
        """Make a tenant public or private."""
        call = Call("PATCH", _path(name), json={"is_public": is_public}, is_idempotent=True)
        return value_of(self._transport.send(call), Tenant)

    def suspend(self, name: str) -> Tenant:
        """Reject the keys of a tenant until it is resumed."""
        return value_of(self._transport.send(Call("POST", f"{_path(name)}/suspend")), Tenant)

    def resume(self, name: str) -> Tenant:
        """Undo the suspension or the deletion of a tenant."""
        return value_of(self._transport.send(Call("POST", f"{_path(name)}/resume")), Tenant)

    def delete(self, name: str) -> Tenant:
        """Delete a tenant. It can be resumed until its data are removed."""
        return value_of(self._transport.send(Call("DELETE", _path(name))), Tenant)


class Keys:
    """API keys of a tenant, or of operators where `tenant` is None."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        tenant: str | None,
        *,
        role: Literal["infer", "upload", "admin"] | None = None,
        label: str = "",
        expires_in_seconds: int | None = None,
    ) -> NewKey:
        """Issue a key. A tenant's key needs a `role`; an operator's must have none."""
        body = {
            "label": label,
            **({} if role is None else {"role": role}),
            **({} if expires_in_seconds is None else {"expires_in_seconds": expires_in_seconds}),
        }
        return value_of(self._transport.send(Call("POST", _keys(tenant), json=body)), NewKey)

    def list(self, tenant: str | None) -> Iterator[ApiKey]:
        """Yield the keys, oldest first, revoked and expired ones included."""
        return items_of(self._transport, get(_keys(tenant)), "keys", ApiKey)

    def show(self, tenant: str | None, key_id: str) -> ApiKey:
        """Show a key without its secret."""
        path = f"{_keys(tenant)}/{segment(key_id)}"
        return value_of(self._transport.send(get(path)), ApiKey)

    def rotate(
        self,
        tenant: str | None,
        key_id: str,
        *,
        overlap_seconds: int = 86_400,
        expires_in_seconds: int | None = None,
    ) -> NewKey:
        """Replace a key, which stays valid during the overlap."""
        body = {
            "overlap_seconds": overlap_seconds,
            **({} if expires_in_seconds is None else {"expires_in_seconds": expires_in_seconds}),
        }
        call = Call("POST", f"{_keys(tenant)}/{segment(key_id)}/rotate", json=body)
        return value_of(self._transport.send(call), NewKey)

    def revoke(self, tenant: str | None, key_id: str) -> None:
        """Revoke a key."""
        path = f"{_keys(tenant)}/{segment(key_id)}"
        self._transport.send(Call("DELETE", path, is_idempotent=True))


class TenantLimits:
    """The limits of tenants and of keys."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def show(self, tenant: str, key_id: str | None = None) -> Limits:
        """Show the limits of a tenant, or of one of its keys."""
        return value_of(self._transport.send(get(_limits(tenant, key_id))), Limits)

    def set(
        self,
        tenant: str,
        key_id: str | None = None,
        *,
        if_etag: str | None = None,
        **limits: LimitValue,
    ) -> Limits:
        """Change limits: numbers, "unlimited", or None for the default. Others stay as they are."""
        headers = matching(if_etag)
        call = Call(
            "PATCH",
            _limits(tenant, key_id),
            json=limits,
            headers=headers,
            is_idempotent=not headers,
        )
        return value_of(self._transport.send(call), Limits)


def _path(tenant: str) -> str:
    return f"/v1/tenants/{segment(tenant)}"


def _keys(tenant: str | None) -> str:
    return "/v1/operator-keys" if tenant is None else f"{_path(tenant)}/keys"


def _limits(tenant: str, key_id: str | None) -> str:
    key = "" if key_id is None else f"/keys/{segment(key_id)}"
    return f"{_path(tenant)}{key}/limits"
