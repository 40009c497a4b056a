"""The command `polyprefix`."""

# ruff: noqa: PLC0415 - a command imports what it needs, so that --help is there at once

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from server.command_line.conversion import export_prefix, import_prefix
from server.command_line.evaluation import evaluate, predict
from server.command_line.ptuning_v2_flags import UNDERSCORES
from server.command_line.train import recipes, train

if TYPE_CHECKING:
    from prefixes.registry import PrefixRegistry
    from server.settings import Settings

app = typer.Typer(
    help="Serve and train P-tuning v2 prefixes: many tasks, one frozen encoder.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
keys = typer.Typer(help="API keys of tenants.", no_args_is_help=True)
app.add_typer(keys, name="key")
store = typer.Typer(help="The store folder and its database.", no_args_is_help=True)
app.add_typer(store, name="store")

_PACKAGES: Final = ("prefixes", "server", "training")
_USAGE: Final = 2
_FAILED: Final = 1

StoreFolder = Annotated[
    Path | None, typer.Option(help="Folder of prefix files and database.", show_default="./var")
]


def main() -> None:
    """Run the command line."""
    app(prog_name="polyprefix")


@app.command()
def serve(  # noqa: PLR0917 - typer passes all by name
    store_folder: StoreFolder = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="`minilm`, a folder, or a model id.", show_default="minilm"),
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...", show_default="auto")] = None,
    dtype: Annotated[
        str | None,
        typer.Option(help="auto, float32, bfloat16 or float16.", show_default="auto"),
    ] = None,
    quantize: Annotated[
        str | None, typer.Option(help="int8: linear layers on a CPU, in 8 bits.")
    ] = None,
    num_threads: Annotated[
        int | None, typer.Option(help="CPU threads of the forward pass.")
    ] = None,
    target_latency_ms: Annotated[
        float | None,
        typer.Option(help="Time that a text may take; bounds the batches."),
    ] = None,
    num_front_ends: Annotated[
        int | None,
        typer.Option(help="Processes that speak HTTP beside the engine's.", show_default="0"),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port.", show_default="8000")] = None,
    examples_folder: Annotated[
        Path | None, typer.Option(help="Folder of example prefixes to publish at start.")
    ] = None,
    default_model: Annotated[
        str | None, typer.Option(help="Prefix for requests that name none.")
    ] = None,
    pinned: Annotated[
        str | None, typer.Option(help="Prefixes that stay on the device: a/b,c/d:alias,...")
    ] = None,
) -> None:
    """Answer requests until SIGTERM. Every setting is also a POLYPREFIX_ variable."""
    flags = dict(locals())
    with _sentences():
        refuse_foreign_packages(packages_distributions())
        _serve(_settings(flags))


@keys.command("create")
def create_key(
    tenant: str,
    label: Annotated[str, typer.Option(help="A note on what the key is for.")] = "",
    is_public: Annotated[
        bool | None,
        typer.Option(
            "--public/--private",
            help="Whether anyone, without a key, may use and download the prefixes. A file holds "
            "rows of its training data as golden examples, unless it was trained with "
            "golden_inputs=made_up.",
        ),
    ] = None,
    store_folder: StoreFolder = None,
) -> None:
    """Make a key, and the tenant where it is new. The key is shown this once."""
    from prefixes.registry import ApiKeys

    with _sentences(), _registry(store_folder) as registry:
        known = {item.name for item in registry.tenants()}
        if tenant not in known or is_public is not None:
            registry.ensure_tenant(tenant, is_public=bool(is_public))
        typer.echo(ApiKeys(registry.database).issue(tenant, label))


@keys.command("list")
def list_keys(tenant: str, store_folder: StoreFolder = None) -> None:
    """List a tenant's keys: id, when made, when revoked, label."""
    from prefixes.registry import ApiKeys

    with _sentences(), _registry(store_folder) as registry:
        registry.tenant(tenant)
        for key in ApiKeys(registry.database).list(tenant):
            state = "valid" if key.revoked_at is None else f"revoked {key.revoked_at:%Y-%m-%d}"
            typer.echo(f"{key.id}\t{key.created_at:%Y-%m-%d %H:%M}\t{state}\t{key.label}")


@keys.command("revoke")
def revoke_key(key_id: str, store_folder: StoreFolder = None) -> None:
    """Make a key useless from now on."""
    from prefixes.registry import ApiKeys

    with _sentences(), _registry(store_folder) as registry:
        ApiKeys(registry.database).revoke(key_id)
        typer.echo(f"The key {key_id} opens nothing any more.")


@store.command("adopt")
def adopt(store_folder: StoreFolder = None) -> None:
    """Use a store folder and a database together that do not know each other. Deletes nothing."""
    from prefixes.registry import adopt_store

    with _sentences():
        settings = _settings({"store_folder": store_folder})
        found = adopt_store(settings.store_folder, database_url=settings.database_url)
        typer.echo(f"The store {settings.store_folder} and the database are paired: {found}.")
        if found.num_only_stored:
            typer.echo(
                "The next start of the server moves what is only in the store to "
                f"{settings.store_folder / 'quarantine'}."
            )


@app.command()
def version() -> None:
    """Print the installed version."""
    from server.api.status import program_version

    typer.echo(program_version())


app.command(context_settings=UNDERSCORES)(train)
for command in (evaluate, predict, recipes):
    app.command()(command)
app.command("import")(import_prefix)
app.command("export")(export_prefix)


class ForeignPackage(Exception):
    """Another distribution has installed a package of one of our names."""


def refuse_foreign_packages(owners: Mapping[str, Sequence[str]]) -> None:
    """Make sure that nobody else owns our import packages: half of either would be broken.

    Args:
        owners: distributions by top-level package, as `packages_distributions()` gives them.

    Raises:
        ForeignPackage: naming the distribution and the package.
    """
    for package in _PACKAGES:
        foreign = sorted(set(owners.get(package, ())) - {"polyprefix"})
        if foreign:
            raise ForeignPackage(
                f"The distribution {foreign[0]!r} also installs a package named {package!r}: give "
                "polyprefix a virtual environment of its own"
            )


def _serve(settings: "Settings") -> None:
    from server.hosting.assembly import serve as serve_until_a_signal
    from server.hosting.listener import bind
    from server.training_jobs.records import Trainer
    from training.service import offer

    trainer = Trainer(
        offer.COMMAND, offer.fields(), offer.problems, offer.SUFFIXES, offer.lacking()
    )
    with bind(settings.host, settings.port) as listener, _registry_of(settings) as registry:
        address = f"http://{settings.host}:{listener.getsockname()[1]}"
        serve_until_a_signal(
            settings,
            registry,
            listener,
            announce=lambda: _announce(address, registry),
            trainer=trainer,
        )


def _announce(address: str, registry: "PrefixRegistry") -> None:
    typer.echo(f"polyprefix listens on {address}; its documentation is at {address}/docs")
    public = registry.public_example()
    if public is not None:
        model = f"{public.tenant}/{public.task}"
        body = f'{{"model": "{model}", "input": "What a fine day!"}}'
        typer.echo(
            f"Try: curl {address}/v1/classify -H 'Content-Type: application/json' -d '{body}'"
        )
    else:
        typer.echo("No public prefix yet. Make a key: polyprefix key create TENANT")


def _settings(flags: Mapping[str, Any]) -> "Settings":
    from server.settings import Settings

    return Settings.load(**flags)


@contextmanager
def _registry(store_folder: Path | None) -> Iterator["PrefixRegistry"]:
    with _registry_of(_settings({"store_folder": store_folder})) as registry:
        yield registry


@contextmanager
def _registry_of(settings: "Settings") -> Iterator["PrefixRegistry"]:
    from prefixes.registry import open_registry

    registry = open_registry(settings.store_folder, database_url=settings.database_url)
    try:
        yield registry
    finally:
        registry.close()


@contextmanager
def _sentences() -> Iterator[None]:
    """Tell an operator's mistake in one sentence and an exit code, without a traceback."""
    from prefixes.errors import PrefixError
    from server.errors import AddressUnavailable, FrontEndFailed
    from server.settings import InvalidSettings

    try:
        yield
    except InvalidSettings as error:
        _leave(f"Invalid settings: {error}", _USAGE)
    except (PrefixError, AddressUnavailable, FrontEndFailed, ForeignPackage) as error:
        _leave(str(error), _FAILED)


def _leave(message: str, exit_code: int) -> None:
    typer.echo(f"polyprefix: {message}", err=True)
    sys.exit(exit_code)
