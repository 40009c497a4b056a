"""AddressRules: the addresses that webhooks may reach.

Tenants choose the URLs, but the requests come from the operator's network. They must not reach
services there, such as databases without a password or the metadata of a cloud machine.
"""

from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NAT64: Final = ip_network("64:ff9b::/96")
"""Its addresses contain an IPv4 address, which a gateway of the operator's network connects to."""

_DENIED: Final = tuple(
    map(
        ip_network,
        (
            "168.63.129.16/32",  # Azure's services for a virtual machine, on a global address
            "192.0.0.0/24",  # protocol assignments
            "192.88.99.0/24",  # relays of 6to4
            "::/96",  # IPv4-compatible, deprecated
            "64:ff9b:1::/48",  # NAT64 for local use
            "2001::/32",  # Teredo, a tunnel to an IPv4 address
            "2002::/16",  # 6to4, likewise
            "3fff::/20",  # documentation
            "5f00::/16",  # segment routing
            "fec0::/10",  # site-local, deprecated
        ),
    )
)
"""Networks that Python's `is_global` accepts, in some or all versions."""


class AddressRules:
    """Allows global unicast addresses, and the networks that the operator lists."""

    def __init__(self, networks: Iterable[Network] = ()) -> None:
        self._networks = tuple(networks)

    def allows(self, text: str, *, is_encrypted: bool) -> bool:
        """Return whether a webhook may connect to an address.

        Without TLS, only the operator's networks are allowed. A text that is not an IP address is
        never allowed.
        """
        try:
            address = _unwrapped(ip_address(text))
        except ValueError:
            return False
        return self._is_listed(address) or (is_encrypted and _is_public(address))

    def _is_listed(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def _unwrapped(address: Address) -> Address:
    """Return the IPv4 address that is reached through an IPv6 address, if there is one."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _is_public(address: Address) -> bool:
    is_unicast = address.is_global and not (address.is_multicast or address.is_reserved)
    return is_unicast and not any(address in network for network in _DENIED)
