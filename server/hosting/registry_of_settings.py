"""The registry that the settings name."""

from prefixes.registry import PrefixRegistry, open_registry
from server.settings import Settings


def registry_of(settings: Settings) -> PrefixRegistry:
    """Open the registry. The caller closes it.

    Raises:
        StoreUnavailable: when it cannot be opened.
    """
    return open_registry(
        settings.store_folder,
        database_url=settings.database_address,
        bucket=settings.bucket,
        default_limits=settings.default_limits,
    )
