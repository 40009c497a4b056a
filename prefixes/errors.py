"""The errors of this package, one class per failure.

    PrefixError
    |- InvalidName             a malformed name of a tenant, task or alias, or a malformed reference
    |- InvalidText             a text that the database cannot store or look up
    |- PrefixNotFound          an unknown task, version or alias, or one that the caller may not see
    |- TenantNotFound          an unknown tenant
    |- TenantExists            a new tenant with the name of an existing one
    |- KeyNotFound             an unknown id of an API key
    |- KeyNotValid             rotation of a key that is revoked, expired or replaced
    |- ActingKeyInvalid        a change whose key became invalid before it was made
    |- LastOperatorKey         revocation of the last operator's key that does not expire
    |- WebhookNotFound         an unknown id of a webhook
    |- TooManyWebhooks         a tenant with the maximum number of webhooks creates another one
    |- AnswerNotFound          feedback on an answer that is not recorded
    |- PrefixRejected          an invalid prefix file; has all findings
    |- VersionInUse            deletion of a version that an alias points to, or that is a canary
    |- PrefixExists            restoring a deleted task whose name another task has now
    |- NothingToRollBack       rollback of an alias without an earlier version
    |- InvalidLimit            a value that a limit cannot have
    |- LimitsChanged           a change of limits that are not those that its author has seen
    |- QuotaExceeded           more stored bytes, tasks or versions than a tenant may have
    |- CanaryNotFound          an alias without a canary
    |- InvalidCanary           a version that cannot be the canary of an alias
    |- RulesNotFound           an alias without rules
    |- InvalidRules            rules for a version whose answers are not labels of texts
    |- UnknownLabel            a rule for a label that no task has
    |- IdempotencyKeyReused    another request with the Idempotency-Key of an earlier one
    |- InputRejected           an input that does not fit the task
    |  '- TextTooLong          a text with more tokens than the prefix or backbone allows
    |- BackboneUnavailable     the backbone's folder or weights could not be loaded
    |  |- UnsupportedBackbone  an architecture that this version does not support
    |  '- KernelUnavailable    a kernel that this machine or backbone does not support
    '- StoreUnavailable        bytes or rows could not be written or read
       |- StoreCorrupted       bytes that no longer match their digest
       |- StoreFull            no space is left on the disk
       |- DatabaseUnreachable  the database's server does not answer
       '- StoreMismatch        a store and a database that do not belong together

This package knows nothing about HTTP: `server/api/problems.py` maps these to status codes.
"""

from typing import ClassVar, Self

from prefixes.findings import Finding


class PrefixError(Exception):
    """Base class. `code` is stable and for programs; the message is for people."""

    code: ClassVar[str] = "prefix_error"


class InvalidName(PrefixError):
    code = "invalid_name"


class InvalidText(PrefixError):
    """A text with the character NUL, which PostgreSQL rejects."""

    code = "invalid_text"


class PrefixNotFound(PrefixError):
    code = "prefix_not_found"


class TenantNotFound(PrefixError):
    code = "tenant_not_found"


class TenantExists(PrefixError):
    code = "tenant_exists"


class KeyNotFound(PrefixError):
    code = "key_not_found"


class KeyNotValid(PrefixError):
    code = "key_not_valid"


class ActingKeyInvalid(PrefixError):
    """The key of a request became invalid before its change was made."""

    code = "acting_key_invalid"


class LastOperatorKey(PrefixError):
    code = "last_operator_key"


class WebhookNotFound(PrefixError):
    code = "webhook_not_found"


class TooManyWebhooks(PrefixError):
    code = "too_many_webhooks"


class AnswerNotFound(PrefixError):
    code = "answer_not_found"


class PrefixRejected(PrefixError):
    """An invalid prefix file. `findings` lists all its defects."""

    code = "prefix_rejected"

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        lines = "; ".join(str(finding) for finding in findings)
        hints = "; ".join(dict.fromkeys(finding.hint for finding in findings if finding.hint))
        super().__init__(f"The prefix was rejected: {lines}" + (f" ({hints})" if hints else ""))
        self.findings = findings


class VersionInUse(PrefixError):
    code = "version_in_use"


class PrefixExists(PrefixError):
    code = "prefix_exists"


class NothingToRollBack(PrefixError):
    code = "nothing_to_roll_back"


class InvalidLimit(PrefixError):
    code = "invalid_limit"


class LimitsChanged(PrefixError):
    code = "limits_changed"


class QuotaExceeded(PrefixError):
    """A tenant would have more than `limit`, the name of one of its limits, allows."""

    code = "quota_exceeded"

    def __init__(self, message: str, *, limit: str) -> None:
        super().__init__(message)
        self.limit = limit


class CanaryNotFound(PrefixError):
    code = "canary_not_found"


class InvalidCanary(PrefixError):
    """A version that cannot be the canary of an alias."""

    code = "invalid_canary"


class RulesNotFound(PrefixError):
    code = "rules_not_found"


class InvalidRules(PrefixError):
    """Rules for a version whose answers are not labels of texts."""

    code = "invalid_rules"


class UnknownLabel(PrefixError):
    """A rule for a label that none of the tasks has that it is for."""

    code = "unknown_label"


class IdempotencyKeyReused(PrefixError):
    """A request with the Idempotency-Key of an earlier request that asked for something else."""

    code = "idempotency_key_reused"


class InputRejected(PrefixError):
    """An input that does not fit the task.

    `index` is its place: among the inputs encoded together, and then among those of the request.
    """

    code = "input_rejected"
    index: int | None = None

    def among(self, num_inputs: int) -> Self:
        """Return the error; with the place of the input in its message if there are several."""
        if num_inputs == 1 or self.index is None:
            return self
        return type(self)(f"input[{self.index}]: {self}")


class TextTooLong(InputRejected):
    code = "text_too_long"


class BackboneUnavailable(PrefixError):
    code = "backbone_unavailable"


class UnsupportedBackbone(BackboneUnavailable):
    code = "unsupported_backbone"


class KernelUnavailable(BackboneUnavailable):
    """A kernel that this machine or backbone does not support. Only operators see it."""


class StoreUnavailable(PrefixError):
    code = "store_unavailable"


class StoreCorrupted(StoreUnavailable):
    code = "store_corrupted"


class StoreFull(StoreUnavailable):
    """No space is left on the disk. Clients get `store_unavailable`."""


class DatabaseUnreachable(StoreUnavailable):
    """The database's server does not answer. Clients get `store_unavailable`."""


class StoreMismatch(StoreUnavailable):
    """A store and a database that do not belong together. Only operators see it."""
