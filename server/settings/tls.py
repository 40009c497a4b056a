"""Settings of TLS: the server's certificate, and the certificates that clients must have."""

from typing import Final, Self

from pydantic import BaseModel, Field, FilePath, SecretStr, model_validator

_NEED_A_CERTIFICATE: Final = ("tls_key", "tls_key_password", "tls_client_ca", "tls_ciphers")


class TlsSettings(BaseModel):
    """Whether the server speaks HTTPS, and to whom."""

    tls_certificate: FilePath | None = Field(
        default=None,
        description="PEM file of the server's certificate, followed by its intermediate "
        "certificates. The server then speaks HTTPS only. Unset: plain HTTP.",
    )
    tls_key: FilePath | None = Field(
        default=None,
        description="PEM file of the certificate's private key. Unset: the key is in the file of "
        "the certificate.",
    )
    tls_key_password: SecretStr | None = Field(
        default=None, description="Password of the private key. Unset: the key is not encrypted."
    )
    tls_client_ca: FilePath | None = Field(
        default=None,
        description="PEM file of the authorities whose client certificates are accepted. Clients "
        "without such a certificate cannot connect. Unset: clients need no certificate.",
    )
    tls_ciphers: str | None = Field(
        default=None,
        description="Ciphers of TLS 1.2, as an OpenSSL cipher list. TLS 1.3 has its own. Unset: "
        "the default of Python.",
    )

    @model_validator(mode="after")
    def _has_a_certificate(self) -> Self:
        if self.tls_certificate is None:
            for name in _NEED_A_CERTIFICATE:
                if getattr(self, name) is not None:
                    raise ValueError(
                        f"{name} has a value, but tls_certificate has none: the server would "
                        "speak plain HTTP. Set tls_certificate, or unset all settings of TLS."
                    )
        return self
