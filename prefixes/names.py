"""The names of tenants, tasks and aliases, and references to prefixes."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from prefixes.errors import InvalidName

DEFAULT_ALIAS = "live"
MAX_VERSION: Final = 999_999_999
"""The largest number that a reference can spell."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?", re.ASCII)
_GRAMMAR = "1 to 64 of the characters a-z 0-9 . _ -, beginning and ending with a letter or digit"
_FORM = "TENANT/TASK, TENANT/TASK@VERSION or TENANT/TASK:ALIAS"
_VERSION = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)


def check_name(kind: str, text: str) -> str:
    """Return `text` if it is a valid name of a tenant, task or alias.

    Raises:
        InvalidName: when it is not valid; the message gives `kind` and the allowed form.
    """
    if _NAME.fullmatch(text) is None or ".." in text:
        raise InvalidName(f"Invalid {kind} name {text[:80]!r}: use {_GRAMMAR}")
    return text


def check_alias(text: str) -> str:
    """Return `text` if it is a valid alias. Digits alone would look like a version.

    Raises:
        InvalidName: when it is not valid.
    """
    check_name("alias", text)
    if text.isdigit():
        raise InvalidName(f"Invalid alias name {text!r}: digits alone would look like a version")
    return text


def parse_version(text: str) -> int:
    """Parse a version number. `01`, `+1`, `1_0` and `1.0` are not accepted.

    Raises:
        InvalidName: when it is not valid.
    """
    if not _VERSION.fullmatch(text):
        raise InvalidName(
            f"{text[:80]!r} is not a version number: expected 1 to {MAX_VERSION}, in digits and "
            "without leading zeros"
        )
    return int(text)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint that suggests the most similar known name; empty if none is similar."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


@dataclass(frozen=True, slots=True)
class PrefixRef:
    """A reference, as in a request's `model`: a version of a task, or an alias that points to one.

    Exactly one of `version` and `alias` is set. A version never changes; an alias moves.
    """

    tenant: str
    task: str
    version: int | None = None
    alias: str | None = None

    @classmethod
    def parse(cls, text: str, *, default_tenant: str | None = None) -> Self:
        """Parse `tenant/task@version`, `tenant/task:alias` or `tenant/task` (alias `live`).

        The tenant may be omitted if the caller's own tenant is known.

        Raises:
            InvalidName: when the text has another form, or one of its names is not valid.
        """
        path, at, version = text.partition("@")
        path, colon, alias = path.partition(":")
        tenant, slash, task = path.rpartition("/")
        if not slash and default_tenant is not None:
            tenant = default_tenant
        if not tenant or (at and colon):
            raise InvalidName(f"Invalid prefix reference {text[:200]!r}: use {_FORM}")
        check_name("tenant", tenant)
        check_name("task", task)
        if at:
            return cls(tenant, task, version=parse_version(version))
        return cls(tenant, task, alias=check_alias(alias) if colon else DEFAULT_ALIAS)

    def __str__(self) -> str:
        suffix = f"@{self.version}" if self.version is not None else f":{self.alias}"
        return f"{self.tenant}/{self.task}{suffix}"
