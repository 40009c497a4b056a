"""Serving on Ray from the command `serve`: the cluster, the application, and signals."""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import ray
from ray import serve
from ray.exceptions import RayError

from server.errors import ServerFailed
from server.hosting.ray.application import NAME, build, num_cpus
from server.hosting.ray.proxy_middleware import CALLBACK
from server.settings import InvalidSettings, Settings, variable_of

_log = logging.getLogger(__name__)

_ALONE: Final = ("num_front_ends", "tls_certificate")
"""Settings of a server that listens itself."""

_ENVIRONMENT: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": CALLBACK,
    # A proxy that is not ready after three times this time is replaced, and `serve.start` fails.
    # With Ray's 5 seconds, a busy machine could not start any.
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "20",
}
"""Defaults for the processes of a local cluster, which inherit the environment."""

_OBJECT_STORE_BYTES: Final = 100 * 2**20
"""Of a local cluster. Requests and answers are small, and most are sent without it."""


def serve_on_ray(settings: Settings, port: int, announce: Callable[[], None]) -> None:
    """Deploy the application, and delete it at a signal.

    Args:
        settings: the settings of the operator.
        port: the port to listen on.
        announce: called when the server accepts requests.

    Raises:
        InvalidSettings: when a setting has no effect with Ray.
        ServerFailed: when the cluster cannot be used, or the application does not start.
    """
    _check(settings)
    with _cluster(settings), _deleted_at_the_end():
        stopping = _event_of_signals()
        _deploy(settings, port)
        announce()
        stopping.wait()
        _log.info("draining: deleting the application; requests in flight are answered first")


def _check(settings: Settings) -> None:
    for name in _ALONE:
        if getattr(settings, name):
            raise InvalidSettings(
                f"{variable_of(name)} has no effect with Ray, whose proxies listen. Leave it "
                "unset. docs/ray.md says how to use HTTPS."
            )


def _deploy(settings: Settings, port: int) -> None:
    try:
        serve.start(http_options={"host": settings.host, "port": port})
        serve.run(build(settings), name=NAME, route_prefix="/")
    except (RuntimeError, TimeoutError, RayError) as error:
        reason = str(error).partition("\n")[0]  # details of actors follow
        raise ServerFailed(
            f"The application did not start on Ray: {reason} The logs of Ray say why."
        ) from error


@contextmanager
def _cluster(settings: Settings) -> Iterator[None]:
    """Connect to the cluster of the settings; start one on this machine if they name none."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        if settings.ray_address is None:
            ray.init(
                num_cpus=max(os.cpu_count() or 1, int(num_cpus(settings)) + 1),
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                configure_logging=False,
            )
        else:
            ray.init(settings.ray_address, configure_logging=False)
    except ConnectionError as error:
        raise ServerFailed(
            f"Cannot connect to the Ray cluster {settings.ray_address}: {error}. Check "
            f"{variable_of('ray_address')}, and that the cluster runs."
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _deleted_at_the_end() -> Iterator[None]:
    """Delete the application, which drains it, before Ray ends.

    `serve.shutdown()` and `ray.shutdown()` alone lose every request in flight.
    """
    try:
        yield
    finally:
        serve.delete(NAME)


def _event_of_signals() -> threading.Event:
    """Return what the first signal sets. The second one exits at once."""
    event = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as signals call it
        if event.is_set():
            os._exit(128 + number)
        event.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handle)
    return event
