"""Wire models of limits."""

from typing import Annotated, Any, Final, Literal

from pydantic import Discriminator, Field, Tag

from prefixes.limits import LIMIT_NAMES, UNLIMITED, LimitSet, printable
from prefixes.registry import TenantLimits
from prefixes.registry.limits import LimitChanges
from server.api.schemas import StrictRequest, WireResponse


def _kind(value: Any) -> str:
    return "(word)" if isinstance(value, str) else "(number)"


_Value = Annotated[
    Annotated[float, Field(allow_inf_nan=False), Tag("(number)")]
    | Annotated[Literal["unlimited"], Tag("(word)")],
    Discriminator(_kind),
]
ShownLimit = float | Literal["unlimited"]
_RESET: Final = "Null returns to the default."


class KeyLimitsChange(StrictRequest):
    """The limits to change. Absent ones stay as they are."""

    requests_per_second: _Value | None = Field(
        default=None, description=f"Maximum rate of inference requests. {_RESET}"
    )
    tokens_per_second: _Value | None = Field(
        default=None, description=f"Maximum rate of tokens. {_RESET}"
    )
    max_in_flight_texts: _Value | None = Field(
        default=None, description=f"Maximum number of in-flight texts. {_RESET}"
    )
    management_requests_per_second: _Value | None = Field(
        default=None, description=f"Maximum rate of requests that are not inference. {_RESET}"
    )
    max_upload_bytes: _Value | None = Field(
        default=None,
        description=f"Maximum size of an uploaded prefix file or of a training's files. {_RESET}",
    )

    def changes(self) -> LimitChanges:
        """Return the limits that the request has."""
        return {
            name: UNLIMITED if (value := getattr(self, name)) == "unlimited" else value
            for name in LIMIT_NAMES
            if name in self.model_fields_set
        }


class TenantLimitsChange(KeyLimitsChange):
    """The limits to change. Absent ones stay as they are."""

    max_stored_bytes: _Value | None = Field(
        default=None, description=f"Maximum total size of all versions. {_RESET}"
    )
    max_prefixes: _Value | None = Field(
        default=None, description=f"Maximum number of prefixes. {_RESET}"
    )
    max_versions: _Value | None = Field(
        default=None, description=f"Maximum number of versions of all prefixes. {_RESET}"
    )
    max_queued_trainings: _Value | None = Field(
        default=None, description=f"Maximum number of queued trainings. {_RESET}"
    )
    max_running_trainings: _Value | None = Field(
        default=None, description=f"Maximum number of running trainings. {_RESET}"
    )
    training_cpu_seconds_per_day: _Value | None = Field(
        default=None, description=f"Maximum CPU time of trainings within 24 hours. {_RESET}"
    )
    weight: _Value | None = Field(
        default=None, description=f"Share of the device, compared with other tenants. {_RESET}"
    )


class KeyLimitsStatus(WireResponse):
    limits: dict[str, ShownLimit] = Field(description="The limits that are set for the key.")


class StoredStatus(WireResponse):
    bytes: int
    prefixes: int
    versions: int


class TenantLimitsStatus(WireResponse):
    limits: dict[str, ShownLimit] = Field(description="The limits that are set for the tenant.")
    applied: dict[str, ShownLimit] = Field(description="All limits that apply, defaults included.")
    stored: StoredStatus = Field(description="The amounts that the tenant stores now.")


def key_limits_status(limits: LimitSet) -> KeyLimitsStatus:
    """Describe the limits of a key."""
    return KeyLimitsStatus(limits=shown_limits(limits))


def tenant_limits_status(found: TenantLimits) -> TenantLimitsStatus:
    """Describe the limits of a tenant."""
    stored = found.stored
    return TenantLimitsStatus(
        limits=shown_limits(found.set),
        applied=shown_limits(found.applied.by_name()),
        stored=StoredStatus(bytes=stored.bytes, prefixes=stored.prefixes, versions=stored.versions),
    )


def shown_limits(limits: LimitSet) -> dict[str, ShownLimit]:
    """Write limits as JSON shows them."""
    return {name: printable(limits[name]) for name in LIMIT_NAMES if name in limits}
