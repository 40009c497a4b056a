"""Settings: all of them in one class, and how they are loaded."""

import os
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    DirectoryPath,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from prefixes.names import PrefixRef
from server.settings.batches import BatchFileSettings
from server.settings.engine import EngineSettings
from server.settings.errors import (
    ENV_PREFIX,
    InvalidSettings,
    invalid_values,
    unknown_variables,
)
from server.settings.feedback import FeedbackSettings
from server.settings.http import HttpSettings
from server.settings.keys import check_operator_key
from server.settings.lists import check_networks, items_of, networks_of, references_of
from server.settings.observability import ObservabilitySettings
from server.settings.ray import RaySettings
from server.settings.store import StoreSettings
from server.settings.tenants import TenantSettings
from server.settings.tls import TlsSettings
from server.settings.training import TrainingSettings


class Settings(
    ObservabilitySettings,
    FeedbackSettings,
    BatchFileSettings,
    TrainingSettings,
    TenantSettings,
    StoreSettings,
    TlsSettings,
    RaySettings,
    HttpSettings,
    EngineSettings,
    BaseSettings,
):
    """All settings. Each has a `POLYPREFIX_` variable, and some have a flag of `serve`.

    A flag takes precedence over a variable, and a variable over the default. An empty variable
    counts as unset.
    """

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_ignore_empty=True, frozen=True, extra="forbid"
    )

    store_folder: Path = Field(
        default=Path("var"),
        description="Folder for prefix files, unless `POLYPREFIX_STORE_URL` is set, and for the "
        "database, unless `POLYPREFIX_DATABASE_URL` is set.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        description="URL of a PostgreSQL or SQLite database. Unset: SQLite in "
        "`POLYPREFIX_STORE_FOLDER`.",
    )
    database_outage_seconds: float = Field(
        default=300.0,
        ge=0,
        le=86_400,
        description="Time in seconds for which requests with cached keys and versions are answered "
        "while PostgreSQL cannot be reached. 0: not at all.",
    )
    operator_key: Annotated[SecretStr | None, AfterValidator(check_operator_key)] = Field(
        default=None,
        description="API key with the role `operator`, as `polyprefix key generate` prints it. "
        "Unset: the first start writes a new one to the file `operator-key` in "
        "`POLYPREFIX_STORE_FOLDER`.",
    )
    lease_seconds: float = Field(
        default=60.0,
        ge=1,
        le=3600,
        description="Time in seconds after which another server takes over the trainings and batch "
        "files of a server that hangs or has lost the database.",
    )
    deleted_tenant_days: float = Field(
        default=7.0,
        ge=0,
        le=3650,
        description="Time in days after which a deleted tenant and its data are removed.",
    )
    deleted_prefix_days: float = Field(
        default=7.0,
        ge=0,
        le=3650,
        description="Time in days after which deleted prefixes and versions are removed.",
    )
    usage_retention_days: float = Field(
        default=400.0,
        ge=1,
        le=36_500,
        description="Time in days for which the usage of tenants and the statistics of their texts "
        "are kept.",
    )
    drift_bound: float = Field(
        default=0.25,
        gt=0,
        le=100,
        description="Population stability index above which the texts of a version count as "
        "drifted from its validation rows.",
    )
    webhook_networks: Annotated[str, AfterValidator(check_networks)] | None = Field(
        default=None,
        description="Networks that webhooks may reach in addition to public addresses, separated "
        "by commas, such as `10.0.0.0/8,127.0.0.1`. Only to these, webhooks may use plain `http`. "
        "Unset: none.",
    )
    examples_folder: DirectoryPath | None = Field(
        default=None,
        description="Folder of `TASK.safetensors` files to publish at startup under the public "
        "tenant `examples`. Unset: none.",
    )

    @property
    def cors_origin_list(self) -> tuple[str, ...]:
        """The origins in `cors_origins`."""
        return tuple(items_of(self.cors_origins))

    @property
    def database_address(self) -> str | None:
        """The URL in `database_url`, with its password. Pass it on, and never print it."""
        return None if self.database_url is None else self.database_url.get_secret_value()

    @property
    def kernel_cache(self) -> Path:
        """The file with the choices of kernels."""
        return self.store_folder / "kernels.json"

    @property
    def pinned_refs(self) -> tuple[PrefixRef, ...]:
        """The references in `pinned`."""
        return tuple(references_of(self.pinned))

    @property
    def webhook_network_list(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The networks in `webhook_networks`."""
        return tuple(networks_of(self.webhook_networks))

    @model_validator(mode="after")
    def _can_admit_the_largest_request(self) -> Self:
        if self.max_inputs_per_request > self.max_waiting_inputs:
            raise ValueError(
                f"max_inputs_per_request is {self.max_inputs_per_request}, but max_waiting_inputs "
                f"is {self.max_waiting_inputs}: the largest request would never be admitted. "
                "Lower the first or raise the second."
            )
        return self

    @model_validator(mode="after")
    def _serves_each_backbone_once(self) -> Self:
        if any(one.source == self.backbone for one in self.ray_backbone_list):
            raise ValueError(
                f"ray_backbones lists {self.backbone!r}, which is the value of backbone. Remove it "
                "from the list; ray_engine_replicas is its number of replicas."
            )
        return self

    @classmethod
    def load(cls, **flags: Any) -> Self:
        """Load settings from flags, variables and defaults. A flag of None counts as not given.

        Raises:
            InvalidSettings: with every setting that is unknown or has an invalid value.
        """
        problems = list(unknown_variables(os.environ, cls.model_fields.keys()))
        given = {name: value for name, value in flags.items() if value is not None}
        try:
            settings = cls(**given)
        except ValidationError as error:
            problems += invalid_values(error)
        if problems:
            raise InvalidSettings(" ".join(problems))
        return settings
