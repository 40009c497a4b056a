"""KeyManager: manages the API keys of one owner for the routes of tenants and of operators."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from fastapi import Response

from prefixes.limits import NOT_SET, LimitSet
from prefixes.registry import Actor, ApiKey, IssuedKey, Role
from prefixes.registry.key_rows import no_key
from server.api.limit_schemas import shown_limits
from server.api.pages import page_response
from server.api.services import Services
from server.api.tenant_schemas import (
    KeyList,
    KeyStatus,
    NewKey,
    OperatorKeyRequest,
    RotateRequest,
    expiry,
)


@dataclass(frozen=True, slots=True)
class KeyManager:
    """The keys of a tenant, or of operators if `owner` is None.

    The key of another owner is reported as missing.
    """

    services: Services
    owner: str | None

    @property
    def _path(self) -> str:
        return "/v1/operator-keys" if self.owner is None else f"/v1/tenants/{self.owner}/keys"

    async def issue(
        self, role: Role, body: OperatorKeyRequest, response: Response, actor: Actor
    ) -> NewKey:
        """Issue a key."""
        issue = partial(
            self.services.keys.issue,
            self.owner,
            body.label,
            role=role,
            expires_at=expiry(body.expires_in_seconds),
            by=actor,
        )
        issued = await self.services.write(issue)
        return self._show_once(issued, NOT_SET, response)

    async def list(self, after: str | None, limit: int) -> Response:
        """List a page of keys, oldest first. `after` is the id of the last key before it."""
        return await page_response(self.services, partial(self._page, after, limit))

    async def show(self, key_id: str) -> KeyStatus:
        """Show a key without its secret."""
        found = await self._find(key_id)
        return KeyStatus(**_fields(found, await self._limits_of(key_id)))

    async def rotate(
        self, key_id: str, body: RotateRequest, response: Response, actor: Actor
    ) -> NewKey:
        """Replace a key, which stays valid during the overlap."""
        await self._find(key_id)
        rotate = partial(
            self.services.keys.rotate,
            key_id,
            overlap=timedelta(seconds=body.overlap_seconds),
            expires_at=expiry(body.expires_in_seconds),
            by=actor,
        )
        issued = await self.services.write(rotate)
        return self._show_once(issued, await self._limits_of(issued.facts.id), response)

    async def revoke(self, key_id: str, actor: Actor) -> None:
        """Revoke a key."""
        await self._find(key_id)
        await self.services.write(partial(self.services.keys.revoke, key_id, by=actor))

    def _page(self, after: str | None, limit: int) -> KeyList:
        found = self.services.keys.list(self.owner, after=after, limit=limit)
        is_last = len(found) < limit
        limits = self.services.limits.of_keys([key.id for key in found])
        return KeyList(
            keys=[KeyStatus(**_fields(key, limits.get(key.id, NOT_SET))) for key in found],
            next=None if is_last else f"{self._path}?limit={limit}&after={found[-1].id}",
        )

    async def _find(self, key_id: str) -> ApiKey:
        found = await self.services.read(partial(self.services.keys.find, key_id))
        if found.tenant != self.owner:
            raise no_key(key_id)
        return found

    async def _limits_of(self, key_id: str) -> LimitSet:
        found = await self.services.read(partial(self.services.limits.of_keys, [key_id]))
        return found.get(key_id, NOT_SET)

    def _show_once(self, issued: IssuedKey, limits: LimitSet, response: Response) -> NewKey:
        response.headers["Cache-Control"] = "no-store"
        response.headers["Location"] = f"{self._path}/{issued.facts.id}"
        return NewKey(**_fields(issued.facts, limits), key=issued.key)


def _fields(key: ApiKey, limits: LimitSet) -> dict[str, Any]:
    return {
        "id": key.id,
        "tenant": key.tenant,
        "role": key.role,
        "label": key.label,
        "state": key.state(datetime.now(UTC)),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
        "replaced_by": key.replaced_by,
        "limits": shown_limits(limits),
    }
