"""Versions on the wire: their number in a path, and the fields that describe them."""

from datetime import datetime
from typing import Annotated, TypedDict

from fastapi import Path
from pydantic import BeforeValidator

from prefixes.errors import InvalidName
from prefixes.names import MAX_VERSION, parse_version
from prefixes.registry import PrefixVersion
from server.api.auth import Caller


def _version_number(text: str) -> int:
    try:
        return parse_version(text)
    except InvalidName as error:
        raise ValueError(str(error)) from error


VersionNumber = Annotated[int, BeforeValidator(_version_number), Path(ge=1, le=MAX_VERSION)]


class VersionFields(TypedDict):
    """The fields that every model of a version has."""

    ref: str
    tenant: str
    task: str
    version: int
    digest: str
    size_bytes: int
    created_at: datetime
    created_by: str


def version_fields(version: PrefixVersion, caller: Caller) -> VersionFields:
    """Return the fields of a version, as the caller may see them."""
    return {
        "ref": str(version.ref),
        "tenant": version.tenant,
        "task": version.task,
        "version": version.number,
        "digest": version.digest,
        "size_bytes": version.size_bytes,
        "created_at": version.created_at,
        "created_by": caller.author(version.created_by, version.tenant),
    }
