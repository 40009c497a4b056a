"""Settings of tenants: the limits of those that have no limits of their own."""

from pydantic import BaseModel, Field

from prefixes.limits import LimitName, LimitSet

_RATE_OF_ANONYMOUS = "All callers without a key together count as one tenant. Unset: unlimited."


class TenantSettings(BaseModel):
    """Defaults of the limits that `polyprefix limits` sets for one tenant."""

    requests_per_second_per_tenant: float | None = Field(
        default=None,
        ge=0.001,
        description="Maximum rate of inference requests of one tenant. Up to 10 seconds' worth may "
        f"come at once. Further ones get 429. {_RATE_OF_ANONYMOUS}",
    )
    tokens_per_second_per_tenant: float | None = Field(
        default=None,
        ge=0.001,
        description="Maximum rate of tokens of one tenant. Up to 10 seconds' worth may come at "
        f"once. Further requests get 429. {_RATE_OF_ANONYMOUS}",
    )
    max_in_flight_texts_per_tenant: int | None = Field(
        default=None,
        ge=0,
        description="Maximum number of in-flight texts of one tenant. Further requests get 429. "
        f"{_RATE_OF_ANONYMOUS}",
    )
    management_requests_per_second_per_tenant: float = Field(
        default=50,
        ge=0.001,
        le=1e9,
        description="Maximum rate of a tenant's requests that are not inference. Up to 10 seconds' "
        "worth may come at once. Further ones get 429. One key may use half of it. All callers "
        "without a key together count as one tenant.",
    )
    max_stored_mib_per_tenant: int | None = Field(
        default=None,
        ge=0,
        description="Maximum total size of the versions of one tenant, in MiB. Unset: unlimited.",
    )
    max_prefixes_per_tenant: int | None = Field(
        default=None,
        ge=0,
        description="Maximum number of prefixes of one tenant. Unset: unlimited.",
    )
    max_versions_per_tenant: int | None = Field(
        default=None,
        ge=0,
        description="Maximum number of versions of all prefixes of one tenant. Unset: unlimited.",
    )
    max_queued_trainings_per_tenant: int = Field(
        default=4,
        ge=1,
        description="Maximum number of queued trainings of one tenant. Further ones get 429.",
    )
    max_running_trainings_per_tenant: int | None = Field(
        default=None,
        ge=1,
        description="Maximum number of trainings of one tenant that run at the same time. Further "
        "ones stay queued. Unset: unlimited.",
    )
    training_cpu_seconds_per_tenant_and_day: float | None = Field(
        default=None,
        ge=0.001,
        description="Maximum CPU time of the trainings of one tenant within 24 hours, in seconds, "
        "of all threads together. Further trainings get 429. Unset: unlimited.",
    )

    @property
    def default_limits(self) -> LimitSet:
        """The limits that apply to tenants without limits of their own."""
        mib = self.max_stored_mib_per_tenant
        found: dict[LimitName, float | None] = {
            "requests_per_second": self.requests_per_second_per_tenant,
            "tokens_per_second": self.tokens_per_second_per_tenant,
            "max_in_flight_texts": self.max_in_flight_texts_per_tenant,
            "management_requests_per_second": self.management_requests_per_second_per_tenant,
            "max_stored_bytes": None if mib is None else mib * 2**20,
            "max_prefixes": self.max_prefixes_per_tenant,
            "max_versions": self.max_versions_per_tenant,
            "max_queued_trainings": self.max_queued_trainings_per_tenant,
            "max_running_trainings": self.max_running_trainings_per_tenant,
            "training_cpu_seconds_per_day": self.training_cpu_seconds_per_tenant_and_day,
        }
        return {name: value for name, value in found.items() if value is not None}
