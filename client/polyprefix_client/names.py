"""Names of prefixes: `tenant/task`, `tenant/task@3` and `tenant/task:live`, and their paths."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from polyprefix_client.errors import InvalidName

LIVE: Final = "live"


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed name. At most one of `version` and `alias` is set."""

    tenant: str
    task: str
    version: int | None = None
    alias: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Parse `tenant/task`, `tenant/task@version` or `tenant/task:alias`.

        Raises:
            InvalidName: when it has another form.
        """
        tenant, slash, rest = text.partition("/")
        task, sign, suffix = _split(rest)
        is_version = sign == "@"
        if not (tenant and slash and task) or "/" in rest or (sign and not suffix):
            raise InvalidName(
                f"Invalid name {text!r}: expected TENANT/TASK, TENANT/TASK@VERSION or "
                "TENANT/TASK:ALIAS."
            )
        if is_version and not (suffix.isascii() and suffix.isdigit()):
            raise InvalidName(f"Invalid version {suffix!r} in {text!r}: expected a number.")
        return cls(
            tenant,
            task,
            int(suffix) if is_version else None,
            suffix if sign == ":" else None,
        )

    @property
    def path(self) -> str:
        """The path of the task."""
        return f"/v1/tenants/{segment(self.tenant)}/prefixes/{segment(self.task)}"


def task_path(text: str) -> str:
    """Return the path of a task.

    Raises:
        InvalidName: when the name has a version or an alias.
    """
    found = Reference.parse(text)
    if found.version is not None or found.alias is not None:
        raise InvalidName(
            f"{text!r} is a version or an alias: expected a task. Write "
            f"{found.tenant}/{found.task}."
        )
    return found.path


def alias_path(text: str) -> str:
    """Return the path of an alias. A task alone stands for its alias `live`.

    Raises:
        InvalidName: when the name has a version.
    """
    found = Reference.parse(text)
    if found.version is not None:
        raise InvalidName(f"{text!r} is a version: expected an alias, as in TENANT/TASK:ALIAS.")
    return f"{found.path}/aliases/{segment(found.alias or LIVE)}"


def version_path(text: str) -> str:
    """Return the path of a version.

    Raises:
        InvalidName: when the name has no version.
    """
    found = Reference.parse(text)
    if found.version is None:
        raise InvalidName(f"{text!r} has no version: expected TENANT/TASK@VERSION.")
    return f"{found.path}/versions/{found.version}"


def segment(text: str) -> str:
    """Quote one segment of a path."""
    return quote(text, safe="")


def _split(text: str) -> tuple[str, str, str]:
    for sign in "@:":
        task, found, suffix = text.partition(sign)
        if found:
            return task, sign, suffix
    return text, "", ""
