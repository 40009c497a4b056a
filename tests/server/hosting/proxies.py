"""Real proxies for tests, with the configurations that docs/operating.md shows."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.server.hosting.certificates import CertificateFiles
from tests.server.hosting.processes import ROOT
from tests.server.rest import until

NAMES: Final = ("nginx", "caddy")

_NGINX: Final = """
daemon off;
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{snippet}
}}
"""
_CADDY: Final = """
{{
    admin off
    auto_https off
}}
{snippet}
"""


@contextmanager
def proxy(name: str, upstream: str, files: CertificateFiles, folder: Path) -> Iterator[str]:
    """Run a proxy in front of a server at `http://HOST:PORT`; gives the proxy's URL.

    Skips the test if the program is not installed.
    """
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"the program `{name}` is not installed")
    port = free_port()
    config = folder / f"{name}.conf"
    config.write_text(_config(name, upstream.removeprefix("http://"), files, port, folder))
    arguments = {
        "nginx": ("-p", folder, "-e", folder / "error.log", "-c", config),
        "caddy": ("run", "--adapter", "caddyfile", "--config", config),
    }[name]
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, *map(str, arguments)],
            env={**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder)},
            stdout=output,
            stderr=output,
        )
    try:
        until(lambda: process.poll() is not None or accepts(port))
        assert process.poll() is None, log.read_text()
        yield f"https://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _config(name: str, upstream: str, files: CertificateFiles, port: int, folder: Path) -> str:
    """Return the whole configuration: that of the page, with the names of a test."""
    if name == "nginx":
        names = {
            "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
            "/etc/ssl/fullchain.pem": str(files.certificate),
            "/etc/ssl/privkey.pem": str(files.key),
            "127.0.0.1:8000": upstream,
        }
        # The workers of a master that runs as root would not have access to the folder.
        user = "user root;" if os.getuid() == 0 else ""
        return _NGINX.format(user=user, folder=folder, snippet=_snippet(name, names))
    names = {
        "prefixes.example.org {": f"https://127.0.0.1:{port} {{\n"
        f"    tls {files.certificate} {files.key}",
        "127.0.0.1:8000": upstream,
    }
    return _CADDY.format(snippet=_snippet(name, names))


def _snippet(language: str, names: Mapping[str, str]) -> str:
    page = (ROOT / "docs" / "operating.md").read_text()
    text: str
    (text,) = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
    for name, value in names.items():
        assert name in text, f"the configuration of {language} does not contain {name!r}"
        text = text.replace(name, value)
    return text


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def accepts(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0
