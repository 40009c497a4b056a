"""The server and the key of a call: from arguments, the environment, the login file or defaults."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import httpx

from polyprefix_client.errors import InvalidLogin, InvalidUrl

DEFAULT_URL: Final = "http://127.0.0.1:8000"
URL_VARIABLE: Final = "POLYPREFIX_URL"
KEY_VARIABLE: Final = "POLYPREFIX_KEY"

Source = Literal["argument", "environment", "login file", "default"]
"""Where a value comes from. Earlier ones take precedence."""


@dataclass(frozen=True, slots=True)
class Login:
    """The content of the login file."""

    url: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Connection:
    """A server's URL without a slash at its end, and the key, which may be empty."""

    url: str
    key: str = field(repr=False)
    url_source: Source
    key_source: Source


def find_connection(
    url: str | None = None,
    key: str | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    path: Path | None = None,
) -> Connection:
    """Return the server and the key to use. Arguments take precedence over the environment.

    The key of the login file is used only for the URL of the login file: it is a secret of that
    server.

    Raises:
        InvalidUrl: when the URL is not one of a server.
        InvalidLogin: when the login file is needed and cannot be read.
    """
    variables = os.environ if environment is None else environment
    url_found, url_source = _first(url, variables.get(URL_VARIABLE))
    key_found, key_source = _first(key, variables.get(KEY_VARIABLE))
    # `key=""` is an argument: it means that no key is to be sent.
    if key is not None:
        key_found, key_source = key, "argument"
    if url_source == "default" or key_source == "default":
        login = read_login(path)
        if login is not None and url_source == "default":
            url_found, url_source = login.url, "login file"
        is_same = login is not None and _clean(url_found) == _clean(login.url)
        if login is not None and is_same and key_source == "default":
            key_found, key_source = login.key, "login file"
    place = _clean(url_found or DEFAULT_URL)
    check_url(place)
    return Connection(place, key_found, url_source, key_source)


def check_url(url: str) -> None:
    """Check that a URL is one of a server.

    Raises:
        InvalidUrl: when it is not.
    """
    try:
        found = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise InvalidUrl(
            f"Invalid URL {url!r}: {error}. Use https://HOST or http://HOST:PORT."
        ) from error
    if found.scheme not in {"http", "https"} or not found.host:
        raise InvalidUrl(f"Invalid URL {url!r}: expected https://HOST or http://HOST:PORT.")


def login_path() -> Path:
    """Return the path of the login file, in the user's folder of settings."""
    if sys.platform == "win32":
        folder = os.environ.get("APPDATA") or str(Path.home() / "AppData" / "Roaming")
    else:
        folder = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(folder) / "polyprefix" / "login.json"


def read_login(path: Path | None = None) -> Login | None:
    """Read the login file; None if it does not exist.

    Raises:
        InvalidLogin: when it cannot be read, or has another form.
    """
    place = login_path() if path is None else path
    try:
        members = json.loads(place.read_text(encoding="utf-8"))
        return Login(str(members["url"]), str(members["key"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidLogin(
            f"The login file {place} cannot be read: {error}. Run `polyprefix login` again."
        ) from error


def write_login(login: Login, path: Path | None = None) -> Path:
    """Write the login file, which only its owner may read; return its path."""
    place = login_path() if path is None else path
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = json.dumps({"url": _clean(login.url), "key": login.key}, indent=2) + "\n"
    staged = place.with_name(f"{place.name}.{os.getpid()}.new")
    # Created with its final mode: a file that is restricted later could be read until then.
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    staged.replace(place)
    return place


def delete_login(path: Path | None = None) -> bool:
    """Delete the login file; return whether there was one."""
    place = login_path() if path is None else path
    try:
        place.unlink()
    except FileNotFoundError:
        return False
    return True


def _first(argument: str | None, variable: str | None) -> tuple[str, Source]:
    if argument:
        return argument, "argument"
    if variable:  # an empty variable counts as unset
        return variable, "environment"
    return "", "default"


def _clean(url: str) -> str:
    return url.rstrip("/")
