"""Links: a network namespace for a server, and the link over which it reaches its services."""

import os
import random
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Final

_ADDRESSES: Final = IPv4Address("198.18.0.0")
"""Two /16 networks for tests of network devices (RFC 2544), of which each link uses a /30."""

_NUM_NETWORKS: Final = 2**15


@dataclass(slots=True)
class Link:
    """A pair of connected interfaces: `near` on this machine, `far` in the namespace."""

    namespace: str
    near: IPv4Address = field(init=False)
    far: IPv4Address = field(init=False)
    _interface: str = field(init=False)

    def __post_init__(self) -> None:
        network = _ADDRESSES + 4 * random.SystemRandom().randrange(_NUM_NETWORKS)
        self.near, self.far = network + 1, network + 2
        self._interface = f"pp{uuid.uuid4().hex[:10]}a"

    def make(self) -> None:
        near, far = self._interface, self._interface[:-1] + "b"
        inside = ("-n", self.namespace)
        _ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", self.namespace)
        _ip("addr", "add", f"{self.near}/30", "dev", near)
        _ip(*inside, "addr", "add", f"{self.far}/30", "dev", far)
        _ip(*inside, "link", "set", far, "up")
        self.join()

    def cut(self) -> None:
        """Lose all packets in both directions, without a word to the two ends."""
        _ip("link", "set", self._interface, "down")

    def join(self) -> None:
        _ip("link", "set", self._interface, "up")


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network of its own: clients come over one link, and services are behind the other."""

    clients: Link
    services: Link

    @property
    def command(self) -> Sequence[str]:
        """The start of a command that runs in the namespace."""
        return ("ip", "netns", "exec", self.clients.namespace)


def why_not() -> str | None:
    """Return why there cannot be a namespace on this machine; None if there can."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return "needs root, and `ip` of iproute2"
    try:
        with namespace():
            return None
    except subprocess.CalledProcessError as error:
        return f"cannot make a network namespace: {error.stderr}"


@contextmanager
def namespace() -> Iterator[Namespace]:
    """Make a namespace with its links, and delete it with them."""
    name = f"polyprefix-{uuid.uuid4().hex[:10]}"
    with ExitStack() as stack:
        _ip("netns", "add", name)
        stack.callback(_ip, "netns", "delete", name)
        _ip("-n", name, "link", "set", "lo", "up")
        made = Namespace(Link(name), Link(name))
        for link in (made.clients, made.services):
            link.make()
        yield made


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
