"""Names of tenants, tasks and aliases, and references to prefixes made of them."""

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
    """Return `text` when it is a well-formed tenant, task or alias.

    Raises:
        InvalidName: when it is not; the message names `kind` and the grammar.
    """
    if _NAME.fullmatch(text) is None or ".." in text:
        raise InvalidName(f"{text[:80]!r} is no {kind} name: expected {_GRAMMAR}")
    return text


def check_alias(text: str) -> str:
    """Return `text` when it is a well-formed alias; digits alone would read as a version.

    Raises:
        InvalidName: when it is not.
    """
    check_name("alias", text)
    if text.isdigit():
        raise InvalidName(f"{text!r} is no alias name: digits alone would read as a version")
    return text


def parse_version(text: str) -> int:
    """Read a version number; `01`, `+1`, `1_0` and `1.0` are not other spellings of one.

    Raises:
        InvalidName: when it is not one.
    """
    if not _VERSION.fullmatch(text):
        raise InvalidName(
            f"{text[:80]!r} is not a version number: expected 1 to {MAX_VERSION}, in digits and "
            "without leading zeros"
        )
    return int(text)


def nearest(name: str, known: Iterable[str]) -> str:
    """Ask whether the nearest of the known names was meant; nothing where none is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


@dataclass(frozen=True, slots=True)
class PrefixRef:
    """What a caller writes in `model`: one version of a task, or an alias that points to one.

    Exactly one of `version` and `alias` is set. A version never changes; an alias moves.
    """

    tenant: str
    task: str
    version: int | None = None
    alias: str | None = None

    @classmethod
    def parse(cls, text: str, *, default_tenant: str | None = None) -> Self:
        """Read `tenant/task@version`, `tenant/task:alias` or `tenant/task` (alias `live`).

        The tenant may be left out where the caller's own tenant is known.

        Raises:
            InvalidName: when the text has another form or a part breaks the grammar.
        """
        path, at, version = text.partition("@")
        path, colon, alias = path.partition(":")
        tenant, slash, task = path.rpartition("/")
        if not slash and default_tenant is not None:
            tenant = default_tenant
        if not tenant or (at and colon):
            raise InvalidName(f"{text[:200]!r} names no prefix: expected {_FORM}")
        check_name("tenant", tenant)
        check_name("task", task)
        if at:
            return cls(tenant, task, version=parse_version(version))
        return cls(tenant, task, alias=check_alias(alias) if colon else DEFAULT_ALIAS)

    def __str__(self) -> str:
        suffix = f"@{self.version}" if self.version is not None else f":{self.alias}"
        return f"{self.tenant}/{self.task}{suffix}"
