"""Settings of observability: metrics of single tenants and tasks."""

from pydantic import BaseModel, Field


class ObservabilitySettings(BaseModel):
    """Metrics of single tenants and tasks."""

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
