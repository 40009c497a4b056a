"""BucketSettings: which bucket a store uses, and how it is reached."""

import re
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_SEGMENT: Final = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9_.-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class BucketSettings:
    """A bucket and the prefix of all keys in it.

    Credentials are those of the environment (`AWS_ACCESS_KEY_ID` and so on) or of the machine's
    role. `endpoint_url` and `region` are those of AWS if they are None. `cache_bytes` limits the
    local copies of prefix files.
    """

    bucket: str
    prefix: str = ""
    endpoint_url: str | None = None
    region: str | None = None
    allow_http: bool = False
    cache_bytes: int = 2**30

    @classmethod
    def parse(
        cls,
        url: str,
        *,
        endpoint_url: str | None = None,
        region: str | None = None,
        allow_http: bool = False,
        cache_bytes: int = 2**30,
    ) -> Self:
        """Read the URL of a bucket, and check that of its endpoint.

        Raises:
            ValueError: when one is not valid.
        """
        bucket, prefix = parse_bucket_url(url)
        if endpoint_url is not None:
            check_endpoint(endpoint_url, allow_http=allow_http)
        return cls(bucket, prefix, endpoint_url, region, allow_http, cache_bytes)

    @property
    def url(self) -> str:
        """The URL of the bucket and the prefix, for messages."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


def parse_bucket_url(url: str) -> tuple[str, str]:
    """Split a URL into the bucket and the prefix of its keys.

    Raises:
        ValueError: when it is not valid. The message does not repeat it, because it may contain
            credentials.
    """
    parts = urlsplit(url)
    segments = parts.path.strip("/").split("/") if parts.path.strip("/") else []
    is_valid = (
        parts.scheme == "s3"
        and _BUCKET.fullmatch(parts.netloc)
        and not (parts.query or parts.fragment)
        and all(_SEGMENT.fullmatch(segment) for segment in segments)
    )
    if not is_valid:
        raise ValueError(
            "is not the URL of a bucket. Use s3://BUCKET or s3://BUCKET/PREFIX, such as "
            "s3://acme-polyprefix/production"
        )
    return parts.netloc, "/".join(segments)


def check_endpoint(url: str, *, allow_http: bool) -> None:
    """Check the URL of an endpoint.

    Raises:
        ValueError: when it is not valid, or is not encrypted although it must be.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        raise ValueError(
            "is not the URL of an endpoint. Use https://HOST or https://HOST:PORT, without a user "
            "and a password"
        )
    if parts.scheme == "http" and not allow_http:
        raise ValueError(
            f"{url} is not encrypted. Use https, or set POLYPREFIX_STORE_ALLOW_HTTP=true if the "
            "network is private"
        )
