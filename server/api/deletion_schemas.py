"""Wire models of deleted prefixes and of retention rules."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from pydantic import Field

from prefixes import registry
from server.api.schemas import StrictRequest, WireResponse


class DeletedPrefix(WireResponse):
    task: str
    deleted_at: datetime
    removed_at: datetime = Field(description="Time after which it cannot be restored.")


class DeletedVersion(DeletedPrefix):
    version: int
    digest: str
    size_bytes: int


class DeletedPrefixes(WireResponse):
    prefixes: list[DeletedPrefix] = Field(description="The last deleted first.")
    versions: list[DeletedVersion] = Field(description="Deleted versions of other prefixes.")


class RetentionRequest(StrictRequest):
    keep_versions: int | None = Field(
        default=None, ge=1, le=100_000, description="Number of the newest versions that are kept."
    )
    keep_days: float | None = Field(
        default=None, ge=0, le=36_500, description="Age in days up to which versions are kept."
    )


class RetentionState(WireResponse):
    keep_versions: int | None
    keep_days: float | None


def deleted_prefixes(
    tasks: Iterable[registry.DeletedPrefix],
    versions: Iterable[registry.DeletedVersion],
    *,
    days: float,
) -> DeletedPrefixes:
    """Describe what can be restored, with a grace period of so many days."""
    grace = timedelta(days=days)
    return DeletedPrefixes(
        prefixes=[
            DeletedPrefix(
                task=one.task, deleted_at=one.deleted_at, removed_at=one.deleted_at + grace
            )
            for one in tasks
        ],
        versions=[
            DeletedVersion(
                task=one.task,
                version=one.number,
                digest=one.digest,
                size_bytes=one.size_bytes,
                deleted_at=one.deleted_at,
                removed_at=one.deleted_at + grace,
            )
            for one in versions
        ],
    )
