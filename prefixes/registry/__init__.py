"""Where prefixes are kept: names, versions and aliases in a database, bytes in a store."""

from pathlib import Path

from sqlalchemy import URL

from prefixes.registry.database import Database, open_database
from prefixes.registry.keys import ApiKeys
from prefixes.registry.registry import PrefixRegistry
from prefixes.registry.values import (
    Alias,
    AliasMove,
    ApiKey,
    ListedVersion,
    PrefixEntry,
    PrefixSummary,
    PrefixVersion,
    Published,
    Tenant,
)
from prefixes.store import PrefixStore, Staged

__all__ = [
    "Alias",
    "AliasMove",
    "ApiKey",
    "ApiKeys",
    "Database",
    "ListedVersion",
    "PrefixEntry",
    "PrefixRegistry",
    "PrefixStore",
    "PrefixSummary",
    "PrefixVersion",
    "Published",
    "Staged",
    "Tenant",
    "open_database",
    "open_registry",
]


def open_registry(folder: Path, *, database_url: str | None = None) -> PrefixRegistry:
    """Open the registry in a folder, made when it is missing.

    Bytes lie in `folder/blobs`; the database is `folder/registry.db` unless a SQLAlchemy URL
    says otherwise.

    Raises:
        StoreUnavailable: when the folder or the database cannot be used.
    """
    store = PrefixStore(folder)
    url = database_url or URL.create("sqlite", database=str(folder / "registry.db"))
    return PrefixRegistry(open_database(url), store)
