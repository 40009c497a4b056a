"""Settings: what an operator may choose. Nothing else in the program reads the environment."""

import os
import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import (
    DirectoryPath,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from prefixes.errors import InvalidName
from prefixes.names import PrefixRef

ENV_PREFIX = "POLYPREFIX_"
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#\s]+", re.IGNORECASE)
_CLIENT_VARIABLES = frozenset({"key"})
"""Variables of commands that talk to a server: not ours, and no mistake."""


class InvalidSettings(ValueError):
    """A setting that is unknown or out of range; the message names each and its variable."""


class Settings(BaseSettings):
    """Everything that can be set, each by a flag of `serve` or a `POLYPREFIX_` variable.

    A flag wins over a variable, a variable over the default. An empty variable counts as unset.
    """

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_ignore_empty=True, frozen=True, extra="forbid"
    )

    store_folder: Path = Field(
        default=Path("var"),
        description="Folder that keeps prefix files and, unless database_url is set, the database.",
    )
    database_url: str | None = Field(
        default=None,
        description="SQLAlchemy URL of the database; unset means SQLite inside store_folder.",
        repr=False,
    )
    backbone: str = Field(
        default="minilm",
        description="The frozen encoder: `minilm` (packaged), a folder, or a model id of the hub.",
    )
    device: str = Field(
        default="auto",
        description="Where the backbone runs: `cpu`, `cuda`, `cuda:1`; `auto` takes a GPU if any.",
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto",
        description="Number type of the backbone's weights and activations: `float32`, `bfloat16`, "
        "`float16`; `auto` measures at start and takes the one that the device does well.",
    )
    quantize: Literal["int8"] | None = Field(
        default=None,
        description="`int8`: the encoder's linear layers multiply in int8, on a CPU; unset: they "
        "do not.",
    )
    num_threads: int | None = Field(
        default=None, ge=1, le=1024, description="CPU threads of the forward pass; unset: all."
    )
    num_streams: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="Batches that run at once on a CPU, each with its share of num_threads; unset: "
        "as many as there are threads, at most 4. A GPU runs one.",
    )
    num_front_ends: int = Field(
        default=0,
        ge=0,
        le=64,
        description="Processes that speak HTTP, beside the engine's own; 0: that one does it all.",
    )
    host: str = Field(
        default="127.0.0.1",
        description="Address to listen on; `0.0.0.0` makes the server reachable from outside.",
    )
    port: int = Field(default=8000, ge=0, le=65535, description="Port; 0 takes any free one.")
    cors_origins: str | None = Field(
        default=None,
        description="Origins whose web pages may call the server from a browser, with commas "
        "between them, such as `https://app.example.org`; `*`: all; unset: none.",
    )
    max_connections_per_address: int = Field(
        default=1024,
        ge=1,
        description="Maximum number of open connections from one address, or one /64 of IPv6. "
        "Further ones get 429. Raise it where a proxy connects for all callers.",
    )
    metrics_key: SecretStr | None = Field(
        default=None,
        description="Key that `GET /metrics` requires, as `Authorization: Bearer KEY`; unset: "
        "none.",
    )
    default_model: str | None = Field(
        default=None,
        description="Prefix that answers requests without a `model`; unset: they are refused.",
    )
    examples_folder: DirectoryPath | None = Field(
        default=None,
        description="Folder of `TASK.safetensors` files that are published under the public "
        "tenant `examples` at start; unset: none.",
    )
    max_batch_tokens: int = Field(
        default=4096, ge=16, description="Most tokens in one forward pass."
    )
    target_latency_ms: float | None = Field(
        default=None,
        gt=0,
        le=60_000,
        description="Time in milliseconds that a text may take in the server; trials at start "
        "lower max_batch_tokens to what keeps to it. Unset: no trials.",
    )
    max_batch_rows: int = Field(default=256, ge=1, description="Most texts in one forward pass.")
    max_waiting_inputs: int = Field(
        default=2048,
        ge=1,
        description="Most texts admitted and not yet answered; beyond it, requests get 429.",
    )
    resident_mib: int = Field(
        default=512,
        ge=1,
        description="Memory in MiB for prefixes on the device; the longest unused make room.",
    )
    host_mib: int | None = Field(
        default=None,
        ge=0,
        description="Memory in MiB for prefixes that made room on the device, so that they are not "
        "read again; unset: 4096 beside a GPU, 0 on a CPU, whose memory is the device's.",
    )
    pinned: str | None = Field(
        default=None,
        description="Prefixes that never leave the device, as references with commas between them; "
        "unset: none.",
    )
    max_inputs_per_request: int = Field(
        default=256, ge=1, le=10_000, description="Most texts in one request."
    )
    max_body_kib: int = Field(
        default=4096, ge=1, description="Largest body in KiB of a JSON request."
    )
    body_stall_seconds: float = Field(
        default=10.0,
        gt=0,
        le=600,
        description="Time in seconds in which 16 KiB of a body, or its end, must arrive; slower "
        "bodies get 408.",
    )
    max_upload_mib: int = Field(
        default=64, ge=1, le=256, description="Largest prefix file in MiB that may be uploaded."
    )
    request_timeout_seconds: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        description="Time in seconds for an answer; `X-Timeout-Ms` of a request may only lower it.",
    )
    drain_seconds: float = Field(
        default=30.0,
        ge=0,
        le=3600,
        description="Time in seconds for work in flight to finish after SIGTERM, SIGINT or SIGHUP.",
    )

    num_trainings: int = Field(
        default=1,
        ge=1,
        le=8,
        description="Trainings that run at once, each in a process with a backbone of its own.",
    )
    training_threads: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="CPU threads of each training; unset: one for each processor, which serving "
        "takes back whenever it needs it.",
    )
    training_device: str = Field(
        default="auto",
        description="Where trainings run: `cpu`, `cuda:1`, ...; `auto`: where the backbone does.",
    )
    training_memory_share: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="Share of the memory of a GPU that serves which trainings may take together; "
        "beyond it, a training has failed.",
    )
    max_queued_trainings: int = Field(
        default=64, ge=1, description="Most trainings that wait; beyond it, new ones get 429."
    )
    max_queued_trainings_per_tenant: int = Field(
        default=4, ge=1, description="Most trainings of one tenant that wait."
    )
    max_kept_trainings_per_tenant: int = Field(
        default=100,
        ge=1,
        description="Maximum number of trainings of one tenant that are kept, whatever their "
        "state. A new one removes the oldest that have ended, files and all.",
    )
    max_training_file_mib: int = Field(
        default=32,
        ge=1,
        le=1024,
        description="Largest body in MiB of a training's files, together.",
    )
    max_training_steps: int = Field(
        default=5000, ge=1, description="Most steps of one training; more are cut to this."
    )
    max_training_seconds: float = Field(
        default=3600.0,
        gt=0,
        description="Processor time in seconds that a training may take, for each of its "
        "threads: waiting for a busy processor is free; beyond it, it has failed.",
    )
    training_retention_days: float = Field(
        default=7.0,
        gt=0,
        description="Time in days after which a training that has ended is removed, files and all.",
    )

    @property
    def cors_origin_list(self) -> tuple[str, ...]:
        """The origins in `cors_origins`."""
        return tuple(_listed(self.cors_origins or ""))

    @property
    def pinned_refs(self) -> tuple[PrefixRef, ...]:
        """The references in `pinned`."""
        return tuple(_references(self.pinned or ""))

    @field_validator("cors_origins")
    @classmethod
    def _names_origins(cls, origins: str | None) -> str | None:
        for origin in _listed(origins or ""):
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"{origin!r} is not an origin: expected a scheme, a host and perhaps a port, "
                    "such as https://app.example.org, without a slash at the end"
                )
        return origins

    @field_validator("pinned")
    @classmethod
    def _names_prefixes(cls, pinned: str | None) -> str | None:
        try:
            list(_references(pinned or ""))
        except InvalidName as error:
            raise ValueError(str(error)) from error
        return pinned

    @model_validator(mode="after")
    def _has_room_for_a_request(self) -> Self:
        if self.max_inputs_per_request > self.max_waiting_inputs:
            raise ValueError(
                f"max_inputs_per_request is {self.max_inputs_per_request}, but only "
                f"max_waiting_inputs = {self.max_waiting_inputs} may wait: such a request would "
                "never be admitted"
            )
        return self

    @classmethod
    def load(cls, **flags: Any) -> Self:
        """Read flags over environment over defaults; a flag of None counts as not given.

        Raises:
            InvalidSettings: naming every setting that is unknown or out of range.
        """
        known = cls.model_fields.keys() | _CLIENT_VARIABLES
        problems = _unknown_variables(os.environ, known)
        given = {name: value for name, value in flags.items() if value is not None}
        try:
            settings = cls(**given)
        except ValidationError as error:
            problems += [_problem(detail["loc"], detail["msg"]) for detail in error.errors()]
        if problems:
            raise InvalidSettings("; ".join(problems))
        return settings


def variable_of(name: str) -> str:
    """Name the environment variable of a setting."""
    return ENV_PREFIX + name.upper()


def _listed(text: str) -> Iterator[str]:
    return filter(None, map(str.strip, text.split(",")))


def _references(text: str) -> Iterator[PrefixRef]:
    return map(PrefixRef.parse, _listed(text))


def _unknown_variables(environment: Mapping[str, str], known: AbstractSet[str]) -> list[str]:
    return [
        f"{variable} is no setting of this version: remove it or correct its name"
        for variable in sorted(environment)
        if variable.upper().startswith(ENV_PREFIX)
        and variable[len(ENV_PREFIX) :].lower() not in known
    ]


def _problem(location: tuple[int | str, ...], message: str) -> str:
    name = str(location[0]) if location else "settings"
    return f"{name} ({variable_of(name)}): {message}"
