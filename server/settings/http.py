"""Settings of HTTP: the address, processes, and limits of requests."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, SecretStr

from server.settings.lists import check_networks, check_origins


class HttpSettings(BaseModel):
    """Where the server listens, and how much a request may ask for."""

    num_front_ends: int = Field(
        default=0,
        ge=0,
        le=64,
        description="Number of separate processes that accept HTTP requests and pass them to the "
        "process that runs the backbone. 0: one process does both.",
    )
    host: str = Field(
        default="127.0.0.1",
        description="Address to listen on. `0.0.0.0` accepts connections from other machines.",
    )
    port: int = Field(
        default=8000, ge=0, le=65535, description="Port to listen on. 0 picks a free port."
    )
    cors_origins: Annotated[str | None, AfterValidator(check_origins)] = Field(
        default=None,
        description="Origins whose web pages may call the server from a browser, separated by "
        "commas, such as `https://app.example.org`. `*` allows all. Unset: none.",
    )
    trusted_proxies: Annotated[str, AfterValidator(check_networks)] = Field(
        default="127.0.0.1,::1",
        description="Addresses or networks of proxies, separated by commas, such as `10.0.0.0/8`. "
        "Their `X-Forwarded-For` and `X-Forwarded-Proto` headers are believed.",
    )
    max_connections_per_address: int = Field(
        default=1024,
        ge=1,
        description="Maximum number of open connections from one IPv4 address or IPv6 /64 network. "
        "Further ones get 429. Raise it if a proxy connects on behalf of all callers.",
    )
    metrics_key: SecretStr | None = Field(
        default=None,
        description="Key that `GET /metrics` requires, as `Authorization: Bearer KEY`. Unset: no "
        "key is required.",
    )
    default_model: str | None = Field(
        default=None,
        description="Prefix that answers requests without a `model`. Unset: such requests are "
        "rejected.",
    )
    max_inputs_per_request: int = Field(
        default=256, ge=1, le=10_000, description="Maximum number of texts in one request."
    )
    max_body_kib: int = Field(
        default=4096, ge=1, description="Maximum size of the body of a JSON request, in KiB."
    )
    body_stall_seconds: float = Field(
        default=10.0,
        gt=0,
        le=600,
        description="Maximum time for each 16 KiB of a body (or the remainder, if less) to arrive, "
        "in seconds. Slower bodies get 408.",
    )
    max_upload_mib: int = Field(
        default=64,
        ge=1,
        le=256,
        description="Maximum size of an uploaded prefix file, in MiB.",
    )
    request_timeout_seconds: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        description="Maximum time to answer a request, in seconds. A request can lower it with "
        "`X-Timeout-Ms`.",
    )
    drain_seconds: float = Field(
        default=30.0,
        ge=0,
        le=3600,
        description="Maximum time for in-flight work to finish after SIGTERM, SIGINT or SIGHUP, "
        "in seconds.",
    )
