"""The argument that names an alias."""

from typing import Annotated

import typer

AliasName = Annotated[
    str, typer.Argument(metavar="ALIAS", help="TENANT/TASK:ALIAS, or TENANT/TASK for `live`.")
]


def alias_place(text: str) -> tuple[str, str, str]:
    """Split the name of an alias into tenant, task and alias.

    Raises:
        InvalidName: when it is not the name of an alias.
    """
    from prefixes.errors import InvalidName  # noqa: PLC0415 - `--help` does not need it
    from prefixes.names import PrefixRef  # noqa: PLC0415

    ref = PrefixRef.parse(text)
    if ref.alias is None:
        raise InvalidName(f"{text} is a version and not an alias: use TENANT/TASK:ALIAS")
    return ref.tenant, ref.task, ref.alias
