"""Settings of a bucket that several servers share."""

from typing import Annotated, Final, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator

from prefixes.registry import BucketSettings
from prefixes.s3.settings import check_endpoint, parse_bucket_url

_NEED_A_URL: Final = ("store_endpoint_url", "store_region")


def _check_url(url: str | None) -> str | None:
    """Return the URL of a bucket, else raise ValueError."""
    if url is not None:
        parse_bucket_url(url)
    return url


class StoreSettings(BaseModel):
    """Where prefix files and files of jobs are kept, unless in the store folder alone."""

    store_url: Annotated[str | None, AfterValidator(_check_url)] = Field(
        default=None,
        description="Bucket for prefix files and for the files of trainings and batch files, as "
        "`s3://BUCKET/PREFIX`. Credentials are those of the `AWS_` variables or of the machine's "
        "role. Unset: they are in `POLYPREFIX_STORE_FOLDER`.",
    )
    store_endpoint_url: str | None = Field(
        default=None,
        description="URL of a service with the S3 protocol. Unset: that of `AWS_ENDPOINT_URL`, or "
        "AWS.",
    )
    store_region: str | None = Field(
        default=None,
        description="Region of the bucket. Unset: that of `AWS_REGION`, or `us-east-1`.",
    )
    store_allow_http: bool = Field(
        default=False,
        description="Whether `POLYPREFIX_STORE_ENDPOINT_URL` may be plain `http`, which anyone in "
        "the network can read and change.",
    )
    store_cache_mib: int = Field(
        default=1024,
        ge=64,
        le=1_048_576,
        description="Disk space in `POLYPREFIX_STORE_FOLDER` for copies of the bucket's prefix "
        "files, in MiB. The least recently used are evicted.",
    )

    @property
    def bucket(self) -> BucketSettings | None:
        """The bucket in `store_url`."""
        if self.store_url is None:
            return None
        return BucketSettings.parse(
            self.store_url,
            endpoint_url=self.store_endpoint_url,
            region=self.store_region,
            allow_http=self.store_allow_http,
            cache_bytes=self.store_cache_mib * 2**20,
        )

    @model_validator(mode="after")
    def _has_a_usable_bucket(self) -> Self:
        if self.store_url is None:
            for name in _NEED_A_URL:
                if getattr(self, name) is not None:
                    raise ValueError(
                        f"{name} has a value, but store_url has none: the store would be a local "
                        f"folder. Set store_url, or unset {name}."
                    )
        elif self.store_endpoint_url is not None:
            try:
                check_endpoint(self.store_endpoint_url, allow_http=self.store_allow_http)
            except ValueError as error:
                raise ValueError(
                    f"store_endpoint_url (POLYPREFIX_STORE_ENDPOINT_URL) {error}."
                ) from error
        return self
