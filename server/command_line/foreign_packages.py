"""Detects another distribution that installs a package of one of our names."""

from collections.abc import Mapping, Sequence
from typing import Final

_PACKAGES: Final = ("prefixes", "server", "training")


class ForeignPackage(Exception):
    """Another distribution has installed a package of one of our names."""


def check_packages(owners: Mapping[str, Sequence[str]]) -> None:
    """Check that only polyprefix installs our packages: a mixture of two would be broken.

    Args:
        owners: distributions by top-level package, as `packages_distributions()` returns them.

    Raises:
        ForeignPackage: naming the distribution and the package.
    """
    for package in _PACKAGES:
        foreign = sorted(set(owners.get(package, ())) - {"polyprefix"})
        if foreign:
            raise ForeignPackage(
                f"The distribution {foreign[0]!r} also installs a package named {package!r}. "
                "Install polyprefix in its own virtual environment."
            )
