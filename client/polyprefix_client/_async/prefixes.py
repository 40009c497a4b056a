"""Prefixes: upload, promote, roll back, share, delete and restore."""

import hashlib
from pathlib import Path

from polyprefix_client._async.transport import AsyncTransport
from polyprefix_client.conversion import from_json
from polyprefix_client.errors import InvalidResponse, NotFound, Problem
from polyprefix_client.files import prefix_form, write_file
from polyprefix_client.names import Reference, alias_path, segment, task_path, version_path
from polyprefix_client.requests import Call, body_of, get, matching, once, value_of
from polyprefix_client.versions import (
    AliasTarget,
    CheckedFile,
    DeletedPrefixes,
    DriftReport,
    Prefix,
    PrefixSummary,
    PublishedVersion,
    Readers,
    Retention,
    VersionDetail,
)


class AsyncPrefixes:
    """The prefixes of tenants: their versions, aliases and readers."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list(self, tenant: str) -> tuple[PrefixSummary, ...]:
        """List the tasks of a tenant that the key may use."""
        response = await self._transport.send(get(f"/v1/tenants/{segment(tenant)}/prefixes"))
        return tuple(from_json(PrefixSummary, one) for one in body_of(response)["prefixes"])

    async def show(self, task: str) -> Prefix:
        """Show the versions and the aliases of a task."""
        return value_of(await self._transport.send(get(task_path(task))), Prefix)

    async def version(self, name: str) -> VersionDetail:
        """Show a version, or the one that an alias points to, with its description."""
        path = version_path(await self._versioned(name))
        return value_of(await self._transport.send(get(path)), VersionDetail)

    async def upload(
        self, task: str, file: str | Path | bytes, *, alias: str | None = None
    ) -> PublishedVersion:
        """Upload a file as the next version of a task, and point `alias` to it if there is one.

        Raises:
            PrefixRejected: when the file is invalid; `findings` has each problem.
        """
        call = Call(
            "POST",
            f"{task_path(task)}/versions",
            form={} if alias is None else {"alias": alias},
            files=prefix_form(file),
            headers=once(),
            is_idempotent=True,
        )
        return value_of(await self._transport.send(call), PublishedVersion)

    async def check(self, task: str, file: str | Path | bytes) -> CheckedFile:
        """Check a file as an upload does, without publishing it.

        Raises:
            PrefixRejected: when the file is invalid; `findings` has each problem.
        """
        call = Call(
            "POST",
            f"{task_path(task)}/versions",
            {"dry_run": "true"},
            files=prefix_form(file),
            is_idempotent=True,
        )
        return value_of(await self._transport.send(call), CheckedFile)

    async def download(self, name: str, path: str | Path | None = None) -> bytes:
        """Download the file of a version or an alias, and write it to `path` if there is one.

        Raises:
            InvalidResponse: when the bytes do not have the digest that the server names.
        """
        response = await self._transport.send(
            get(f"{version_path(await self._versioned(name))}/file")
        )
        digest = response.headers.get("ETag", "").strip('"')
        if digest != hashlib.sha256(response.content).hexdigest():
            raise InvalidResponse(f"The file of {name} is damaged. Download it again.")
        if path is not None:
            write_file(Path(path), response.content)
        return response.content

    async def drift(self, name: str, *, hours: int = 24) -> DriftReport:
        """Compare the texts of a version or an alias with its validation rows."""
        path = f"{version_path(await self._versioned(name))}/drift"
        return value_of(await self._transport.send(get(path, hours=hours)), DriftReport)

    async def promote(
        self, alias: str, version: int, *, if_version: int | None = None, if_new: bool = False
    ) -> AliasTarget:
        """Point an alias, such as `acme/spam:live`, to a version.

        Args:
            alias: the alias. A task alone stands for its alias `live`.
            version: number of the version.
            if_version: version that the alias must point to now.
            if_new: whether the alias must not exist yet.

        Raises:
            PreconditionFailed: when the alias has been moved since.
        """
        etag = None if if_version is None else str(if_version)
        headers = {**once(), **matching(etag, is_new=if_new)}
        call = Call(
            "PUT",
            alias_path(alias),
            json={"version": version},
            headers=headers,
            is_idempotent=True,
        )
        return value_of(await self._transport.send(call), AliasTarget)

    async def rollback(self, alias: str) -> AliasTarget:
        """Point an alias to the version before its last move."""
        path = f"{alias_path(alias)}/rollback"
        call = Call("POST", path, headers=once(), is_idempotent=True)
        return value_of(await self._transport.send(call), AliasTarget)

    async def delete(self, name: str, *, permanent: bool = False) -> None:
        """Delete a task or a version. Unless it is `permanent`, it can be restored."""
        path = version_path(name) if Reference.parse(name).version else task_path(name)
        params = {"permanent": "true"} if permanent else {}
        await self._transport.send(Call("DELETE", path, params))

    async def deleted(self, tenant: str) -> DeletedPrefixes:
        """List what can be restored."""
        path = f"/v1/tenants/{segment(tenant)}/deleted-prefixes"
        return value_of(await self._transport.send(get(path)), DeletedPrefixes)

    async def restore(self, name: str) -> None:
        """Restore a deleted task or version."""
        path = version_path(name) if Reference.parse(name).version else task_path(name)
        await self._transport.send(Call("POST", f"{path}/restore"))

    async def share(self, task: str, reader: str | None) -> None:
        """Let a tenant read a task, or everyone if `reader` is None."""
        await self._transport.send(Call("PUT", _reader_path(task, reader), is_idempotent=True))

    async def unshare(self, task: str, reader: str | None) -> None:
        """Stop sharing a task with a tenant, or with everyone if `reader` is None."""
        await self._transport.send(Call("DELETE", _reader_path(task, reader), is_idempotent=True))

    async def readers(self, task: str) -> Readers:
        """List who may read a task in addition to its owner."""
        following, tenants, is_public = f"{task_path(task)}/readers", [], False
        while following:
            body = body_of(await self._transport.send(get(following)))
            is_public, following = body["is_public"], body["next"]
            tenants += body["tenants"]
        return Readers(is_public, tuple(tenants))

    async def retention(self, task: str) -> Retention:
        """Show which versions of a task are kept."""
        path = f"{task_path(task)}/retention"
        return value_of(await self._transport.send(get(path)), Retention)

    async def set_retention(
        self, task: str, *, keep_versions: int | None = None, keep_days: float | None = None
    ) -> Retention:
        """Set which versions of a task are kept. Without a number, all are."""
        rule = {"keep_versions": keep_versions, "keep_days": keep_days}
        path = f"{task_path(task)}/retention"
        call = Call("PUT", path, json=rule, is_idempotent=True)
        return value_of(await self._transport.send(call), Retention)

    async def _versioned(self, name: str) -> str:
        """Return the name of the version that a name stands for."""
        found = Reference.parse(name)
        if found.version is not None:
            return name
        task, alias = f"{found.tenant}/{found.task}", found.alias or "live"
        targets = {one.name: one.version for one in (await self.show(task)).aliases}
        if alias not in targets:
            detail = f"{task} has no alias {alias!r}. Show the task to see its aliases."
            raise NotFound(Problem(404, "prefix_not_found", "Alias not found", detail))
        return f"{task}@{targets[alias]}"


def _reader_path(task: str, reader: str | None) -> str:
    return f"{task_path(task)}/{'public' if reader is None else f'readers/{segment(reader)}'}"
