"""Certificates for tests, made by the command `openssl`. Each is its own authority."""

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """The PEM files of a certificate for 127.0.0.1 and of its key."""

    certificate: Path
    key: Path

    @classmethod
    def make(cls, folder: Path, name: str, *, password: str | None = None) -> Self:
        """Make a certificate that is valid for two days."""
        if shutil.which("openssl") is None:
            pytest.skip("the command `openssl` is not installed")
        made = cls(folder / f"{name}.pem", folder / f"{name}.key")
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-days", "2", "-subj", f"/CN={name}"),
                *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
                *("-addext", "subjectAltName=IP:127.0.0.1"),
                *("-out", made.certificate, "-keyout", made.key),
                *(("-nodes",) if password is None else ("-passout", f"pass:{password}")),
            ],
            check=True,
            capture_output=True,
        )
        return made

    def replace(self, other: "CertificateFiles") -> None:
        """Put another certificate and its key in the place of these."""
        other.certificate.replace(self.certificate)
        other.key.replace(self.key)

    def trusted(self, client: "CertificateFiles | None" = None) -> ssl.SSLContext:
        """Return the context of a client that trusts only this certificate.

        Args:
            client: the client's own certificate.
        """
        context = ssl.create_default_context(cafile=self.certificate)
        if client is not None:
            context.load_cert_chain(client.certificate, client.key)
        return context
