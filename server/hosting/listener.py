"""The listening socket: bound before anything slow happens."""

import errno
import socket
from contextlib import ExitStack

from server.errors import AddressUnavailable


def bind(host: str, port: int) -> socket.socket:
    """Take the address before anything slow happens; nobody can connect yet.

    Raises:
        AddressUnavailable: with a sentence for the operator.
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
        f"Cannot listen on {host} port {port}: {reason}; stop the other program, or choose "
        "another address with --host and --port"
    )
