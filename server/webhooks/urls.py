"""The form of the URLs of webhooks."""

import re
from typing import Final
from urllib.parse import urlsplit

_PRINTABLE: Final = re.compile(r"[!-~]+", re.ASCII)


def check_url(url: str) -> str:
    """Return a URL that a webhook may have, else raise ValueError.

    Its address is checked later, each time that a message is sent.
    """
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # a malformed IPv6 address or port
        is_valid = False
    if not is_valid or not _PRINTABLE.fullmatch(url):
        raise ValueError(
            "expected a URL with https, such as https://example.org/events, in printable ASCII"
        )
    if "@" in parts.netloc or "#" in url:
        raise ValueError("expected a URL without a user name, a password and a fragment")
    return url
