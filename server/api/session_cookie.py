"""The cookie with which a browser that is signed in to the console sends its API key.

The cookie counts only for requests of the pages of this server. Browsers consider all ports of a
host one site. Without this check, a page of another port could change things for its visitor.
"""

from typing import Final
from urllib.parse import urlsplit

from fastapi import Request, Response

NAME: Final = "polyprefix_key"
SAFE_METHODS: Final = frozenset({"GET", "HEAD"})


def set_cookie(request: Request, response: Response, key: str) -> None:
    """Keep the key in the browser until it is closed, hidden from scripts and from other sites."""
    response.set_cookie(
        NAME,
        key,
        path=_path(request),
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )


def delete_cookie(request: Request, response: Response) -> None:
    """Have the browser forget the key."""
    response.delete_cookie(NAME, path=_path(request), httponly=True, samesite="strict")


def authorization_of(request: Request) -> str | None:
    """Return the `Authorization` header that the cookie stands for; None if it does not count."""
    key = request.cookies.get(NAME)
    return f"Bearer {key}" if key and _is_same_origin(request) else None


def _is_same_origin(request: Request) -> bool:
    """Return whether a page of this server sent a request, or its user opened a URL.

    Browsers send `Sec-Fetch-Site` to hosts with TLS and to this machine. Elsewhere, they send
    `Origin` with every request that may change something.
    """
    is_safe = request.method in SAFE_METHODS
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin" or (site == "none" and is_safe)
    origin = request.headers.get("origin")
    if origin is None:
        return is_safe
    try:
        return urlsplit(origin).netloc == request.headers.get("host")
    except ValueError:  # such as an address of IPv6 without its end
        return False


def _path(request: Request) -> str:
    root: str = request.scope.get("root_path", "")
    return root.rstrip("/") or "/"
