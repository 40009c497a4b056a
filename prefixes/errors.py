"""Everything that can go wrong with a prefix, one class per failure.

    PrefixError
    |- InvalidName             a tenant, task, alias or reference that breaks the grammar
    |- PrefixNotFound          no such task, version or alias; the same answer for "not yours"
    |- TenantNotFound          no tenant of that name
    |- KeyNotFound             no API key with that id
    |- PrefixRejected          a file that cannot be accepted; carries every finding
    |- VersionInUse            a version that an alias still points to cannot be deleted
    |- NothingToRollBack       an alias without an earlier version to return to
    |- InputRejected           a text that the prefix cannot take
    |  '- TextTooLong          more tokens than the prefix or the backbone has room for
    |- BackboneUnavailable     the backbone's folder or weights could not be loaded
    |  '- UnsupportedBackbone  an architecture this version does not know
    '- StoreUnavailable        bytes or rows could not be written or read
       |- StoreCorrupted       bytes that no longer match their digest
       |- StoreFull            no space is left on the disk
       '- StoreMismatch        a store and a database that do not belong to each other

Domain code knows nothing of HTTP: `server/api/problems.py` alone maps these to status codes.
"""

from typing import ClassVar

from prefixes.findings import Finding


class PrefixError(Exception):
    """Base class. `code` is stable and machine-readable; the message is written for people."""

    code: ClassVar[str] = "prefix_error"


class InvalidName(PrefixError):
    code = "invalid_name"


class PrefixNotFound(PrefixError):
    code = "prefix_not_found"


class TenantNotFound(PrefixError):
    code = "tenant_not_found"


class KeyNotFound(PrefixError):
    code = "key_not_found"


class PrefixRejected(PrefixError):
    """A prefix file that cannot be accepted. `findings` lists everything that is wrong with it."""

    code = "prefix_rejected"

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        lines = "; ".join(str(finding) for finding in findings)
        hints = "; ".join(dict.fromkeys(finding.hint for finding in findings if finding.hint))
        super().__init__(f"The prefix was refused: {lines}" + (f" ({hints})" if hints else ""))
        self.findings = findings


class VersionInUse(PrefixError):
    code = "version_in_use"


class NothingToRollBack(PrefixError):
    code = "nothing_to_roll_back"


class InputRejected(PrefixError):
    """A text that the prefix cannot take. `index` is its place among those encoded together."""

    code = "input_rejected"
    index: int | None = None


class TextTooLong(InputRejected):
    code = "text_too_long"


class BackboneUnavailable(PrefixError):
    code = "backbone_unavailable"


class UnsupportedBackbone(BackboneUnavailable):
    code = "unsupported_backbone"


class StoreUnavailable(PrefixError):
    code = "store_unavailable"


class StoreCorrupted(StoreUnavailable):
    code = "store_corrupted"


class StoreFull(StoreUnavailable):
    """No space is left on the disk. Clients see `store_unavailable`."""


class StoreMismatch(StoreUnavailable):
    """A store and a database that do not belong to each other. Only operators see it."""
