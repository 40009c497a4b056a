"""Settings of observability: metrics of single tenants and tasks, and traces."""

import os
from importlib.util import find_spec
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, Field

_PROTOCOL: Final = "OTEL_EXPORTER_OTLP_PROTOCOL"
_TRACES_PROTOCOL: Final = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
_HTTP: Final = "http/protobuf"
_PACKAGES: Final = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


def _check_tracing(value: bool) -> bool:  # noqa: FBT001 - pydantic passes the value alone
    """Return the value if traces can be exported, or need not be; else raise ValueError."""
    if not value:
        return value
    if not all(map(_is_installed, _PACKAGES)):
        raise ValueError(
            "traces need the packages of OpenTelemetry, which are not installed. Install "
            "polyprefix[tracing], or unset the setting."
        )
    protocol = os.environ.get(_TRACES_PROTOCOL) or os.environ.get(_PROTOCOL) or _HTTP
    if protocol != _HTTP:
        raise ValueError(
            f"traces are exported as {_HTTP}, but {_PROTOCOL} or {_TRACES_PROTOCOL} is "
            f"{protocol[:80]!r}. Unset it, and send traces to the collector's port for HTTP."
        )
    return value


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # a parent package is missing
        return False


class ObservabilitySettings(BaseModel):
    """Metrics of single tenants and tasks, and traces."""

    max_tenant_series: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="Maximum number of tenants with metrics of their own. Further tenants share "
        "the label `_other`. 0: there are no metrics by tenant.",
    )
    max_task_series: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="Maximum number of tasks with metrics of their own. Further tasks share the "
        "label `_other`. 0: there are no metrics by task.",
    )
    tracing: Annotated[bool, AfterValidator(_check_tracing)] = Field(
        default=False,
        description="Whether to export traces with OpenTelemetry. The standard `OTEL_` variables "
        "configure the export.",
    )
