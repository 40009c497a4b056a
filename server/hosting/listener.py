"""The listening socket."""

import errno
import socket
from contextlib import ExitStack

from server.errors import AddressUnavailable


def bind(host: str, port: int) -> socket.socket:
    """Bind a socket to an address, without listening.

    A server does this before it loads a model, so that an address in use is reported at once.

    Raises:
        AddressUnavailable: when the address is in use or does not belong to this machine.
    """
    with ExitStack() as undo:
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            bound = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
        except OSError as error:
            raise _unavailable(host, port, error) from error
        undo.pop_all()
    return bound


def _unavailable(host: str, port: int, error: OSError) -> AddressUnavailable:
    reason = "it is in use" if error.errno == errno.EADDRINUSE else (error.strerror or error)
    return AddressUnavailable(
        f"Cannot listen on {host} port {port}: {reason}. Stop the other program, or choose "
        "another address with --host and --port."
    )
