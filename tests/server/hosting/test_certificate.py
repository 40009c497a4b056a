"""TLS: handshakes, clients' certificates, and certificates that change while the server runs."""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from server.hosting.certificate import Certificate
from server.settings import InvalidSettings, Settings
from tests.server.doubles import until
from tests.server.hosting.certificates import CertificateFiles
from tests.server.hosting.processes import front_ends, server_process, store
from tests.server.rest import on_a_port

__all__ = ["front_ends", "store"]

APP: Final = Starlette(routes=[Route("/", lambda _: PlainTextResponse("hello"))])


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    return CertificateFiles.make(tmp_path, "server")


def certificate_of(files: CertificateFiles, **settings: Any) -> Certificate:
    found = Certificate.of(
        Settings(tls_certificate=files.certificate, tls_key=files.key, **settings)
    )
    assert found is not None
    return found


@contextmanager
def serving(certificate: Certificate) -> Iterator[str]:
    """Serve `APP` over TLS; gives its URL."""
    with on_a_port(APP, ssl_context_factory=lambda *_: certificate.context) as url:
        yield url.replace("http:", "https:")


def get(url: str, context: ssl.SSLContext) -> httpx.Response:
    return httpx.get(url, verify=context, trust_env=False)


def test_the_command_serves_https_only(
    store: tuple[Path, str],
    backbone_folder: Path,
    files: CertificateFiles,
    front_ends: tuple[str, ...],
) -> None:
    flags = ("--tls-certificate", str(files.certificate), "--tls-key", str(files.key))
    backbone = ("--backbone", str(backbone_folder))
    with server_process(store[0], *backbone, *flags, *front_ends) as (_, url):
        assert url.startswith("https://")
        response = get(f"{url}/livez", files.trusted())
        assert response.status_code == 200
        assert response.headers["strict-transport-security"] == "max-age=31536000"
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{url.replace('https:', 'http:')}/livez", trust_env=False)
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            get(url, ssl.create_default_context())


def test_only_clients_with_a_certificate_of_the_authority_connect(
    files: CertificateFiles, tmp_path: Path
) -> None:
    known, unknown = (CertificateFiles.make(tmp_path, name) for name in ("known", "unknown"))
    with serving(certificate_of(files, tls_client_ca=known.certificate)) as url:
        assert get(url, files.trusted(known)).text == "hello"
        for client in (None, unknown):
            with pytest.raises(httpx.TransportError):
                get(url, files.trusted(client))


def test_old_versions_of_tls_are_rejected(files: CertificateFiles) -> None:
    # Python warns of a client that offers them, so there is no handshake with one here.
    assert certificate_of(files).context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_only_the_chosen_ciphers_are_used(files: CertificateFiles) -> None:
    context = files.trusted()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    chosen = "ECDHE-ECDSA-AES256-GCM-SHA384"
    with serving(certificate_of(files, tls_ciphers=chosen)) as url:
        context.set_ciphers(chosen)
        assert get(url, context).text == "hello"
        context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
        with pytest.raises(httpx.ConnectError):
            get(url, context)


def test_an_encrypted_key_is_decrypted(tmp_path: Path) -> None:
    files = CertificateFiles.make(tmp_path, "server", password="hush")
    with serving(certificate_of(files, tls_key_password="hush")) as url:
        assert get(url, files.trusted()).text == "hello"
    for wrong in ({}, {"tls_key_password": "wrong"}):
        with pytest.raises(InvalidSettings, match="POLYPREFIX_TLS_KEY_PASSWORD") as raised:
            certificate_of(files, **wrong)
        assert "wrong." not in str(raised.value).replace("is wrong.", "")


def test_new_connections_get_a_changed_certificate(files: CertificateFiles, tmp_path: Path) -> None:
    certificate = certificate_of(files)
    old, new = files.trusted(), CertificateFiles.make(tmp_path, "new")
    with (
        serving(certificate) as url,
        httpx.Client(base_url=url, verify=old, trust_env=False) as connected,
    ):
        assert connected.get("/").text == "hello"
        assert not certificate.reload_if_changed()
        files.replace(new)
        assert certificate.reload_if_changed()
        assert connected.get("/").text == "hello"
        assert get(url, files.trusted()).text == "hello"
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            get(url, old)


def test_a_changed_certificate_that_is_not_valid_is_not_used(
    files: CertificateFiles, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    certificate = certificate_of(files)
    trusted, new = files.trusted(), CertificateFiles.make(tmp_path, "new")
    with serving(certificate) as url:
        new.certificate.replace(files.certificate)  # its key is not written yet
        assert not certificate.reload_if_changed()
        assert "the key does not belong to the certificate" in caplog.text
        assert get(url, trusted).text == "hello"
        files.certificate.unlink()
        assert not certificate.reload_if_changed()
        assert "No such file" in caplog.text
        assert get(url, trusted).text == "hello"


@pytest.mark.anyio
async def test_files_are_checked_again_and_again(files: CertificateFiles, tmp_path: Path) -> None:
    certificate = certificate_of(files)
    keeping = asyncio.create_task(certificate.keep_current(0))
    for name in ("second", "third"):
        files.replace(CertificateFiles.make(tmp_path, name))
        times = certificate._times()
        await until(lambda: certificate._changed_at == times)  # noqa: B023 - called at once
    keeping.cancel()


def test_without_a_certificate_there_is_no_tls() -> None:
    assert Certificate.of(Settings()) is None


@pytest.mark.parametrize("name", ["tls_key", "tls_client_ca", "tls_ciphers", "tls_key_password"])
def test_a_setting_of_tls_needs_a_certificate(name: str) -> None:
    value = __file__ if name in {"tls_key", "tls_client_ca"} else "x"
    with pytest.raises(InvalidSettings, match=f"{name} has a value.*Set tls_certificate"):
        Settings.load(**{name: value})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"tls_key": __file__}, "a file is not valid PEM.*POLYPREFIX_TLS_KEY"),
        ({"tls_client_ca": __file__}, "POLYPREFIX_TLS_CLIENT_CA.*not valid PEM"),
        ({"tls_ciphers": "NONE-OF-THESE"}, "POLYPREFIX_TLS_CIPHERS.*no known cipher"),
    ],
)
def test_a_file_or_list_that_is_not_valid_is_named(
    files: CertificateFiles, changes: dict[str, str], expected: str
) -> None:
    valid: dict[str, Any] = {"tls_certificate": files.certificate, "tls_key": files.key}
    with pytest.raises(InvalidSettings, match=expected):
        Certificate.of(Settings(**valid | changes))


def test_a_key_of_another_certificate_is_rejected(files: CertificateFiles, tmp_path: Path) -> None:
    other = CertificateFiles.make(tmp_path, "other")
    with pytest.raises(InvalidSettings, match="the key does not belong to the certificate"):
        certificate_of(CertificateFiles(files.certificate, other.key))
