"""Check of the bucket that several servers share."""

import uuid
from pathlib import Path
from typing import Final

from prefixes.errors import StoreUnavailable
from prefixes.registry import BucketSettings
from server.command_line.diagnosis.results import CheckResult, ok, problem, warning

_CHECK: Final = "bucket"


def check_bucket(settings: BucketSettings, folder: Path) -> CheckResult:
    """Check that objects can be written, read, listed, copied and deleted, with one of its own."""
    key = f"doctor/{uuid.uuid4().hex}"
    try:
        from prefixes.s3.bucket import Bucket  # noqa: PLC0415 - needs an optional package

        bucket = Bucket(settings)
        bucket.create(key, b"check")
        is_kept = not bucket.create(key, b"check")
        bucket.get(key)
        list(bucket.list("doctor/"))
        bucket.move(key, f"{key}-copy")
        bucket.delete(f"{key}-copy")
    except StoreUnavailable as error:
        reason, _, cure = str(error).partition("; ")
        return problem(_CHECK, f"{reason}.", f"{cure[:1].upper()}{cure[1:]}." if cure else "")
    if not is_kept:
        return warning(
            _CHECK,
            f"{settings.url}: the service replaces objects that a request must not replace.",
            "Nothing, if only this server pairs a database with it. Otherwise use a service that "
            "supports `If-None-Match`.",
        )
    return ok(_CHECK, f"{settings.url} can be read and written; its cache is in {folder}")
