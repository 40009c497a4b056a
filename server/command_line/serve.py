"""The command `serve`."""

# ruff: noqa: PLC0415 - `--help` needs neither pydantic nor torch

import gc
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server.command_line.exit_codes import discard_lost_output
from server.command_line.flag_groups import expand_flags, given
from server.command_line.foreign_packages import check_packages
from server.command_line.next_step import program
from server.command_line.shared_options import ATTENTION_KERNEL, LINEAR_KERNEL
from server.command_line.store_folder import StoreFolder, open_store

if TYPE_CHECKING:
    from socket import socket

    from prefixes.registry import PrefixRegistry
    from server.settings import Settings

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServeFlags:
    """The settings that have a flag. `Settings` holds their defaults and ranges."""

    store_folder: StoreFolder = None
    backbone: Annotated[
        str | None,
        typer.Option(help="`minilm`, a folder, or a model id of the hub.", show_default="minilm"),
    ] = None
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", show_default="auto")
    ] = None
    dtype: Annotated[
        str | None, typer.Option(help="auto, float32, bfloat16 or float16.", show_default="auto")
    ] = None
    quantize: Annotated[
        str | None, typer.Option(help="`int8` runs the linear layers in int8, on a CPU only.")
    ] = None
    linear_kernel: Annotated[str | None, typer.Option(help=LINEAR_KERNEL, show_default="auto")] = (
        None
    )
    attention_kernel: Annotated[
        str | None, typer.Option(help=ATTENTION_KERNEL, show_default="auto")
    ] = None
    num_threads: Annotated[
        int | None, typer.Option(help="CPU threads for the forward pass.", show_default="all")
    ] = None
    target_latency_ms: Annotated[
        float | None,
        typer.Option(help="Target time per text, in milliseconds. Limits the batch size."),
    ] = None
    num_front_ends: Annotated[
        int | None,
        typer.Option(
            help="Number of HTTP processes in addition to the engine's own.", show_default="0"
        ),
    ] = None
    ray: Annotated[
        bool | None, typer.Option("--ray", help="Serve with replicas on Ray (extra `ray`).")
    ] = None
    ray_address: Annotated[
        str | None,
        typer.Option(help="Running Ray cluster. Without it, --ray starts one on this machine."),
    ] = None
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")
    ] = None
    port: Annotated[int | None, typer.Option(help="Port to listen on.", show_default="8000")] = None
    tls_certificate: Annotated[
        Path | None, typer.Option(help="PEM file of the certificate. Serves HTTPS only.")
    ] = None
    tls_key: Annotated[
        Path | None, typer.Option(help="PEM file of the key, unless it is with the certificate.")
    ] = None
    tls_client_ca: Annotated[
        Path | None, typer.Option(help="PEM file of authorities. Clients need a certificate.")
    ] = None
    examples_folder: Annotated[
        Path | None, typer.Option(help="Folder of example prefixes to publish at startup.")
    ] = None
    default_model: Annotated[
        str | None, typer.Option(help="Prefix for requests without a `model`.")
    ] = None
    pinned: Annotated[
        str | None, typer.Option(help="Prefixes that are never evicted: a/b,c/d:alias,...")
    ] = None


@expand_flags
def serve(flags: ServeFlags) -> None:
    """Serve requests until SIGTERM. Each setting can also be a POLYPREFIX_ variable."""
    from importlib.metadata import packages_distributions

    # Collections during the imports would take a sixth of the start, and free next to nothing.
    gc.disable()  # until the server listens: see `freeze_live_objects`
    try:
        from server.settings import Settings

        check_packages(packages_distributions())
        _serve(Settings.load(**given(flags)))
    finally:
        gc.enable()


def _serve(settings: "Settings") -> None:
    from server.errors import ServerFailed
    from server.hosting.certificate import Certificate
    from server.hosting.listener import bind

    Certificate.of(settings)  # an error is reported at once, before the backbone is loaded
    with bind(settings.host, settings.port) as listener, open_store(settings) as registry:
        scheme = "http" if settings.tls_certificate is None else "https"
        address = f"{scheme}://{settings.host}:{listener.getsockname()[1]}"
        try:
            _serve_until_a_signal(
                settings, registry, listener, lambda: _announce(address, registry)
            )
        except OSError as error:  # not of the command's arguments: the place of the error counts
            _log.critical("the server failed", exc_info=error)
            reason = error.strerror or str(error)
            raise ServerFailed(
                f"The server failed: {reason}. The traceback in its log shows where."
            ) from error


def _serve_until_a_signal(
    settings: "Settings",
    registry: "PrefixRegistry",
    listener: "socket",
    announce: Callable[[], None],
) -> None:
    if settings.ray:
        serve_on_ray = _import_ray()
        gc.enable()  # this process only waits
        port = listener.getsockname()[1]
        listener.close()  # the address is free; the proxies of Ray listen on it
        serve_on_ray(settings, port, announce)
    else:
        from server.hosting.assembly import serve as serve_alone

        serve_alone(settings, registry, listener, announce)


def _import_ray() -> "Callable[[Settings, int, Callable[[], None]], None]":
    from server.settings import InvalidSettings

    try:
        from server.hosting.ray.serving import serve_on_ray
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise InvalidSettings(
            "Serving on Ray requires the package ray, which is not installed. Install the extra: "
            "pip install 'polyprefix[ray]'."
        ) from error
    return serve_on_ray


def _announce(address: str, registry: "PrefixRegistry") -> None:
    """Print the address. A server without a reader of its output goes on serving."""
    try:
        _print_address(address, registry)
    except OSError as error:
        discard_lost_output()
        _log.warning(
            "cannot write to standard output: %s; the server listens on %s", error, address
        )


def _print_address(address: str, registry: "PrefixRegistry") -> None:
    typer.echo(f"polyprefix listens on {address}; its documentation is at {address}/docs")
    typer.echo(f"Console: {address}/console; `{program()} key create TENANT` makes a key for it")
    public = registry.public_example()
    if public is not None:
        model = f"{public.tenant}/{public.task}"
        body = f'{{"model": "{model}", "input": "What a fine day!"}}'
        typer.echo(
            f"Try: curl {address}/v1/classify -H 'Content-Type: application/json' -d '{body}'"
        )
    else:
        typer.echo("No public prefix yet. Train one in the console, or upload one.")
