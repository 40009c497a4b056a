"""Settings that list several values, separated by commas."""

import re
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final, NamedTuple

from prefixes.errors import InvalidName
from prefixes.names import PrefixRef

_MAX_REPLICAS: Final = 1000
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#\s]+", re.IGNORECASE)


class BackboneReplicas(NamedTuple):
    """A backbone, and its number of replicas; None for that of the default backbone."""

    source: str
    num_replicas: int | None


def items_of(text: str | None) -> Iterator[str]:
    """Split a list at its commas. An unset setting is an empty list."""
    return filter(None, map(str.strip, (text or "").split(",")))


def references_of(text: str | None) -> Iterator[PrefixRef]:
    """Parse a list of references to prefixes.

    Raises:
        InvalidName: when an item is not a reference.
    """
    return map(PrefixRef.parse, items_of(text))


def check_origins(text: str | None) -> str | None:
    """Return the list if each item is an origin or `*`, else raise ValueError."""
    for origin in items_of(text):
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise ValueError(
                f"{origin!r} is not a valid origin. Write a scheme, a host and optionally a port, "
                "such as https://app.example.org, without a trailing slash."
            )
    return text


def check_networks(text: str) -> str:
    """Return the list if each item is an address or a network, else raise ValueError."""
    for item in items_of(text):
        try:
            ip_network(item)
        except ValueError:
            raise ValueError(
                f"{item!r} is not a valid address or network. Write one such as 192.0.2.1, "
                "10.0.0.0/8 or 2001:db8::/32."
            ) from None
    return text


def networks_of(text: str | None) -> Iterator[IPv4Network | IPv6Network]:
    """Parse a list of IP networks and addresses.

    Raises:
        ValueError: when an item is neither.
    """
    return map(ip_network, items_of(text))


def check_references(text: str | None) -> str | None:
    """Return the list if each item is a reference to a prefix, else raise ValueError."""
    try:
        list(references_of(text))
    except InvalidName as error:
        raise ValueError(str(error)) from error
    return text


def backbones_of(text: str | None) -> Iterator[BackboneReplicas]:
    """Parse a list of backbones, each `SOURCE` or `SOURCE=REPLICAS`.

    Raises:
        ValueError: when a number of replicas is not valid.
    """
    for item in items_of(text):
        source, sign, number = map(str.strip, item.rpartition("="))
        if not sign:
            yield BackboneReplicas(item, None)
        elif source and number.isascii() and number.isdigit() and 1 <= int(number) <= _MAX_REPLICAS:
            yield BackboneReplicas(source, int(number))
        else:
            raise ValueError(
                f"{item!r} is not a valid backbone. Write a folder or a model id, and optionally "
                f"its number of replicas from 1 to {_MAX_REPLICAS}, such as /models/xlm-roberta=2."
            )


def check_backbones(text: str) -> str:
    """Return the list if each item is a backbone that occurs once, else raise ValueError."""
    sources = [item.source for item in backbones_of(text)]
    if repeated := [source for source in sources if sources.count(source) > 1]:
        raise ValueError(
            f"{repeated[0]!r} occurs more than once. Name each backbone once, with its number of "
            "replicas."
        )
    return text
