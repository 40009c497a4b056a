"""Checks of the store folder and the database, and of the prefixes in them."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from prefixes.checks import check_backbones
from prefixes.errors import PrefixError, StoreUnavailable
from prefixes.fingerprint import BackboneFingerprint
from prefixes.names import PrefixRef
from prefixes.registry import PrefixRegistry, SchemaRevision, schema_revision
from prefixes.registry.registry import MIN_FREE_BYTES
from server.command_line.diagnosis.results import CheckResult, ok, problem, skipped, warning

_NEARLY_FULL: Final = 2**30

_MAX_CHECKED: Final = 1000
"""Maximum number of versions whose descriptions are read: some milliseconds each."""

_MAX_NAMED: Final = 3


def check_folder(folder: Path) -> CheckResult:
    """Check that the store folder can be written, or created."""
    existing = _existing(folder)
    file = next((place for place in (folder, *folder.parents) if place.is_file()), None)
    if file is not None:
        return problem(
            "store folder",
            f"{file} is not a folder.",
            "Remove the file, or choose another folder with --store-folder.",
        )
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        return problem(
            "store folder",
            f"Cannot write to {existing}: {error.strerror or error}.",
            "Make it writable for this user, or choose another folder with --store-folder.",
        )
    state = "is writable" if folder.is_dir() else "does not exist yet; `serve` creates it"
    return ok("store folder", f"{folder} {state}")


def check_disk(folder: Path) -> CheckResult:
    """Check that the disk of the store folder has free space."""
    free = shutil.disk_usage(_existing(folder)).free
    found = f"{free / 2**30:.1f} GiB" if free >= _NEARLY_FULL else f"{free / 2**20:.0f} MiB"
    if free >= _NEARLY_FULL:
        return ok("disk", f"{found} free")
    state = problem if free < MIN_FREE_BYTES else warning
    return state(
        "disk",
        f"The disk of {folder} is nearly full: {found} free, expected at least 1 GiB.",
        "Delete files or versions, or enlarge the disk.",
    )


def check_database(folder: Path, database_url: str | None) -> CheckResult:
    """Check that the tables of the database have the revision of this program."""
    try:
        revision = schema_revision(folder, database_url=database_url)
    except StoreUnavailable as error:
        return problem("database", f"{error}.", "Correct POLYPREFIX_DATABASE_URL, or the database.")
    if revision is None or revision.found is None:
        return ok("database", "it does not exist yet; `serve` creates it")
    if revision.is_current:
        return ok("database", f"revision {revision.found}")
    return _outdated(revision)


def _outdated(revision: SchemaRevision) -> CheckResult:
    if not revision.is_known:
        return problem(
            "database",
            f"The database has revision {revision.found}, which this version of polyprefix does "
            f"not know: it ends at {revision.newest}.",
            "Upgrade polyprefix, or restore a backup from before the upgrade of the database.",
        )
    return warning(
        "database",
        f"The database has revision {revision.found}, and this version of polyprefix needs "
        f"{revision.newest}.",
        "Make a backup. Then start `polyprefix serve`, which upgrades the database.",
    )


def check_prefixes(
    registry: PrefixRegistry, backbones: Sequence[BackboneFingerprint]
) -> CheckResult:
    """Check that the prefixes that aliases point to fit one of the backbones."""
    refs = list(islice(_targets(registry), _MAX_CHECKED))
    misfits = [(ref, reason) for ref in refs if (reason := _misfit(registry, ref, backbones))]
    if not refs:
        return skipped("prefixes", "the store has no prefixes")
    if not misfits:
        which = "the backbone" if len(backbones) == 1 else "one of the backbones"
        return ok("prefixes", f"all {len(refs)} that were checked fit {which}")
    noun = "backbone" if len(backbones) == 1 else "backbones"
    listed = ", ".join(backbone.name for backbone in backbones)
    named = "; ".join(f"{ref} ({reason})" for ref, reason in misfits[:_MAX_NAMED])
    more = f" and {len(misfits) - _MAX_NAMED} more" if len(misfits) > _MAX_NAMED else ""
    return problem(
        "prefixes",
        f"{len(misfits)} of {len(refs)} prefixes do not fit the {noun} {listed}: {named}{more}.",
        "Serve the backbone that they were trained on (`--backbone`), or train them again.",
    )


def _targets(registry: PrefixRegistry) -> Iterator[PrefixRef]:
    """Yield the versions that aliases point to."""
    for tenant in registry.tenants():
        for summary in registry.list_prefixes(reader=tenant.name, tenant=tenant.name):
            for number in sorted(set(summary.aliases.values())):
                yield PrefixRef(summary.tenant, summary.task, version=number)


def _misfit(
    registry: PrefixRegistry, ref: PrefixRef, backbones: Sequence[BackboneFingerprint]
) -> str:
    """Say why a version cannot be served; an empty text if it can."""
    try:
        version = registry.version(ref, reader=ref.tenant)
        findings = check_backbones(registry.spec(version.digest), backbones)
    except PrefixError as error:
        return str(error)
    return ", ".join(finding.found for finding in findings)


def _existing(folder: Path) -> Path:
    """Return the folder, or the closest of its parents that exists."""
    absolute = folder.absolute()
    return next(place for place in (absolute, *absolute.parents) if place.is_dir())
