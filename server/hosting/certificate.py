"""Certificate: the TLS context of a server. It replaces its certificate while the server runs."""

import asyncio
import logging
import ssl
from pathlib import Path
from typing import Final, Self

from fastapi.concurrency import run_in_threadpool

from server.settings import InvalidSettings, Settings, variable_of

_SECONDS_BETWEEN_CHECKS: Final = 30.0

_log = logging.getLogger(__name__)


class Certificate:
    """A certificate with its private key, and the TLS context that presents them to clients."""

    def __init__(
        self, certificate: Path, key: Path | None, password: str | None, context: ssl.SSLContext
    ) -> None:
        """Load the files into a context.

        Args:
            certificate: a PEM file.
            key: a PEM file; None if the first file contains the key, too.
            password: decrypts the key.
            context: presents the certificate in each handshake from now on.

        Raises:
            OSError: when a file cannot be read, or its content is not valid (`ssl.SSLError`).
        """
        self._certificate = certificate
        self._key = key
        self._password = password or ""
        self.context = context
        self._changed_at = self._times()
        self._load(context)

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """Load the certificate of the settings; None if the server speaks plain HTTP.

        Raises:
            InvalidSettings: when the settings of TLS are not valid. The message names them.
        """
        if settings.tls_certificate is None:
            return None
        password = settings.tls_key_password
        try:
            return cls(
                settings.tls_certificate,
                settings.tls_key,
                None if password is None else password.get_secret_value(),
                _context_of(settings),
            )
        except OSError as error:
            names = map(variable_of, ("tls_certificate", "tls_key", "tls_key_password"))
            raise InvalidSettings(
                f"The TLS certificate or its key cannot be used: {_reason(error)}. Expected PEM "
                f"files that belong together. Check {', '.join(names)}."
            ) from error

    async def keep_current(self, seconds: float = _SECONDS_BETWEEN_CHECKS) -> None:
        """Load the files again whenever they have changed, until canceled."""
        while True:
            await asyncio.sleep(seconds)
            await run_in_threadpool(self.reload_if_changed)

    def reload_if_changed(self) -> bool:
        """Load the files again if they have changed. Returns whether a new certificate is used.

        Connections keep the certificate that they began with. If the files are not valid, the
        context keeps the old ones, and the next check tries again: a program may still be writing.
        """
        try:
            times = self._times()
            if times == self._changed_at:
                return False
            # A failure can leave a context without a key, so another one tries the files first.
            self._load(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH))
            self._load(self.context)
        except OSError as error:
            _log.error("cannot load the changed TLS certificate: %s", _reason(error))
            return False
        self._changed_at = times
        _log.info("loaded the changed TLS certificate")
        return True

    def _times(self) -> list[int]:
        files = (self._certificate, self._key)
        return [path.stat().st_mtime_ns for path in files if path is not None]

    def _load(self, context: ssl.SSLContext) -> None:
        # Without a function, OpenSSL would ask for the password of an encrypted key on a terminal.
        context.load_cert_chain(self._certificate, self._key, lambda: self._password)


def _context_of(settings: Settings) -> ssl.SSLContext:
    """Make a context without a certificate: TLS 1.2 or later, with Python's secure defaults."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    if settings.tls_ciphers is not None:
        try:
            context.set_ciphers(settings.tls_ciphers)
        except ssl.SSLError as error:
            raise _invalid("tls_ciphers", "no known cipher is in the list") from error
    if settings.tls_client_ca is not None:
        try:
            context.load_verify_locations(settings.tls_client_ca)
        except OSError as error:
            raise _invalid("tls_client_ca", _reason(error)) from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _invalid(name: str, reason: str) -> InvalidSettings:
    return InvalidSettings(f"{name} ({variable_of(name)}): {reason}. Correct the value.")


def _reason(error: OSError) -> str:
    """Describe an error without OpenSSL's and Python's own notation."""
    if not isinstance(error, ssl.SSLError):
        return f"{error.filename}: {error.strerror}"
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the key does not belong to the certificate"
    return "a file is not valid PEM, or the password of the key is wrong"
