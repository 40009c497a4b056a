"""Uploads of prefix files: the form, and the maximum number of uploads in flight."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from server.api.multipart import Form, FormPart
from server.errors import Overloaded
from server.problems import RETRY_SECONDS

UPLOAD_FORM: Final = Form(
    parts=(
        FormPart(
            "file",
            {"description": "A prefix file, as `polyprefix train` writes it."},
            is_file=True,
            is_required=True,
        ),
        FormPart(
            "alias",
            {"description": "Alias to point to the new version, such as `live`."},
        ),
    ),
    example="curl -F file=@task.safetensors",
)

_MAX_UPLOADS: Final = 128
_MAX_UPLOADS_PER_TENANT: Final = 4


class UploadSlots:
    """Bounds the uploads in flight: each takes disk space, and later memory."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    @contextmanager
    def take(self, tenant: str) -> Iterator[None]:
        """Count an upload of a tenant while the context lasts.

        Raises:
            Overloaded: when the tenant, or all tenants together, have the maximum number.
        """
        if self._taken[tenant] >= _MAX_UPLOADS_PER_TENANT or self._taken.total() >= _MAX_UPLOADS:
            raise Overloaded(
                f"Tenant {tenant} has {self._taken[tenant]} uploads in flight, all tenants "
                f"{self._taken.total()}. At most {_MAX_UPLOADS_PER_TENANT} of one tenant and "
                f"{_MAX_UPLOADS} of all are allowed. Retry after {RETRY_SECONDS} seconds.",
                retry_after_seconds=RETRY_SECONDS,
            )
        self._taken[tenant] += 1
        try:
            yield
        finally:
            self._taken[tenant] -= 1
            if not self._taken[tenant]:
                del self._taken[tenant]
