import socket

import pytest

from server.errors import AddressUnavailable
from server.hosting.listener import bind


def test_an_address_in_use_is_an_error_with_advice() -> None:
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        with pytest.raises(AddressUnavailable, match=r"in use.*--port"):
            bind("127.0.0.1", taken.getsockname()[1])


def test_an_address_of_another_machine_is_an_error() -> None:
    with pytest.raises(AddressUnavailable, match=r"Cannot listen on 192\.0\.2\.1"):
        bind("192.0.2.1", 0)


def test_port_0_binds_a_free_port() -> None:
    with bind("127.0.0.1", 0) as bound:
        assert bound.getsockname()[1] > 0
        assert bound.family == socket.AF_INET
