"""The registry of prefixes: names, versions and aliases in a database, bytes in a store."""

from pathlib import Path

from sqlalchemy import URL

from prefixes.errors import StoreUnavailable
from prefixes.limits import NOT_SET, LimitSet
from prefixes.local_store import LocalStore
from prefixes.registry.alias_rules import AliasRules
from prefixes.registry.alias_values import Alias, AliasMove, AliasRuleState, Canary, CanaryPlan
from prefixes.registry.audit import AuditLog
from prefixes.registry.canaries import Canaries
from prefixes.registry.database import Database
from prefixes.registry.feedback_settings import FeedbackRule, FeedbackSettings
from prefixes.registry.idempotency import IdempotencyKey
from prefixes.registry.keys import ApiKeys
from prefixes.registry.limits import LimitStore, TenantLimits
from prefixes.registry.opening import SchemaRevision, open_database, parse_url, read_revision
from prefixes.registry.pairing import Overlap, adopt, check_not_missing, pair
from prefixes.registry.recorded_answers import AnswerStore
from prefixes.registry.registry import Guard, PrefixRegistry
from prefixes.registry.retention import Retention
from prefixes.registry.routing import CanaryRoute, Target
from prefixes.registry.sharing import Sharing
from prefixes.registry.tenants import Tenants
from prefixes.registry.usage import UsageLog
from prefixes.registry.values import (
    COMMAND_LINE,
    ROLES,
    Actor,
    ApiKey,
    AuditEvent,
    DeletedPrefix,
    DeletedVersion,
    Identity,
    IssuedKey,
    ListedVersion,
    PrefixEntry,
    PrefixSummary,
    PrefixVersion,
    PublishedVersion,
    Readers,
    RetentionRule,
    Role,
    Tenant,
)
from prefixes.s3.settings import BucketSettings
from prefixes.staging import StagedBlob
from prefixes.store import PrefixStore

__all__ = [
    "COMMAND_LINE",
    "ROLES",
    "Actor",
    "Alias",
    "AliasMove",
    "AliasRuleState",
    "AliasRules",
    "AnswerStore",
    "ApiKey",
    "ApiKeys",
    "AuditEvent",
    "AuditLog",
    "BucketSettings",
    "Canaries",
    "Canary",
    "CanaryPlan",
    "CanaryRoute",
    "Database",
    "DeletedPrefix",
    "DeletedVersion",
    "FeedbackRule",
    "FeedbackSettings",
    "Guard",
    "IdempotencyKey",
    "Identity",
    "IssuedKey",
    "LimitStore",
    "ListedVersion",
    "Overlap",
    "PrefixEntry",
    "PrefixRegistry",
    "PrefixStore",
    "PrefixSummary",
    "PrefixVersion",
    "PublishedVersion",
    "Readers",
    "Retention",
    "RetentionRule",
    "Role",
    "SchemaRevision",
    "Sharing",
    "StagedBlob",
    "Target",
    "Tenant",
    "TenantLimits",
    "Tenants",
    "UsageLog",
    "adopt_store",
    "open_database",
    "open_registry",
    "open_store",
    "schema_revision",
]


def open_registry(
    folder: Path,
    *,
    database_url: str | None = None,
    bucket: BucketSettings | None = None,
    default_limits: LimitSet = NOT_SET,
) -> PrefixRegistry:
    """Open the registry in a folder, which is created if it is missing.

    Bytes are stored in `folder/blobs`, or in the bucket; the folder then has its cache. The
    database is `folder/registry.db`, or the one that the SQLAlchemy URL names. `default_limits`
    apply to tenants without limits of their own.

    Raises:
        StoreMismatch: when the folder has content, but its database is missing or another one.
        StoreUnavailable: when the folder or the database cannot be used.
    """
    store = open_store(folder, bucket)
    url = _url(folder, database_url)
    check_not_missing(url, store)
    database = open_database(url)
    try:
        pair(database, store)
    except StoreUnavailable:
        database.close()
        raise
    return PrefixRegistry(database, store, default_limits)


def schema_revision(folder: Path, *, database_url: str | None = None) -> SchemaRevision | None:
    """Read the revision of a store's tables, and change nothing; None without a database.

    Raises:
        StoreUnavailable: when the database cannot be opened or read.
    """
    return read_revision(_url(folder, database_url))


def adopt_store(
    folder: Path, *, database_url: str | None = None, bucket: BucketSettings | None = None
) -> Overlap:
    """Pair a store with a database, and report what they have in common.

    Raises:
        StoreUnavailable: when the folder or the database cannot be used.
    """
    store = open_store(folder, bucket)
    database = open_database(_url(folder, database_url))
    try:
        return adopt(database, store)
    finally:
        database.close()


def open_store(folder: Path, bucket: BucketSettings | None = None) -> PrefixStore:
    """Open the store in a folder, or the one in a bucket with its cache in the folder.

    Raises:
        StoreUnavailable: when it cannot be used.
    """
    if bucket is None:
        return LocalStore(folder)
    from prefixes.s3.store import S3Store  # noqa: PLC0415 - needs an optional package

    return S3Store(bucket, folder)


def _url(folder: Path, database_url: str | None) -> URL:
    if database_url is None:
        return URL.create("sqlite", database=str(folder / "registry.db"))
    return parse_url(database_url)
