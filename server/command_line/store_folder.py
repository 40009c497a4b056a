"""The store that a command works on: its option, its settings and its registry."""

# ruff: noqa: PLC0415 - `--help` needs neither pydantic nor SQLAlchemy

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from prefixes.registry import PrefixRegistry
    from server.settings import Settings

StoreFolder = Annotated[
    Path | None,
    typer.Option(help="Folder of the prefix files and the database.", show_default="./var"),
]


def load_settings(store_folder: Path | None) -> "Settings":
    """Read the settings from the environment; the flag has precedence.

    Raises:
        InvalidSettings: as `Settings.load`.
    """
    from server.settings import Settings

    return Settings.load(store_folder=store_folder)


@contextmanager
def open_store(settings: "Settings") -> Iterator["PrefixRegistry"]:
    """Open the registry that the settings name, and close it at the end.

    Raises:
        StoreUnavailable: when it cannot be opened.
    """
    from server.hosting.registry_of_settings import registry_of

    with closing(registry_of(settings)) as registry:
        yield registry
