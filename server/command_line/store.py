"""The command `store adopt`."""

# ruff: noqa: PLC0415 - `--help` does not need SQLAlchemy

import typer

from server.command_line.json_output import AsJson, print_json
from server.command_line.store_folder import StoreFolder, load_settings


def adopt(
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    store_folder: StoreFolder = None,
) -> None:
    """Pair a store with the database of another one. Deletes nothing."""
    from dataclasses import asdict

    from prefixes.registry import adopt_store

    settings = load_settings(store_folder)
    found = adopt_store(
        settings.store_folder, database_url=settings.database_address, bucket=settings.bucket
    )
    bucket = settings.bucket
    place = str(settings.store_folder) if bucket is None else bucket.url
    if as_json:
        print_json(
            {
                "store_folder": settings.store_folder,
                "store_url": settings.store_url,
                **asdict(found),
            }
        )
        return
    typer.echo(f"The store {place} and the database are paired: {found}.")
    if found.num_only_stored:
        typer.echo(
            "When the server next starts, it moves files that only the store has to "
            f"{place}/quarantine."
        )
