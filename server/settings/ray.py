"""Settings of Ray Serve: the cluster, and the replicas in it."""

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator

from server.settings.lists import BackboneReplicas, backbones_of, check_backbones


class RaySettings(BaseModel):
    """Where replicas run, and how many there are."""

    ray: bool = Field(
        default=False,
        description="Whether to serve with replicas on Ray, instead of from this process.",
    )
    ray_address: str | None = Field(
        default=None,
        description="Address of a running Ray cluster, such as `10.0.0.5:6379` or `auto`. Unset: "
        "`serve --ray` starts Ray on this machine.",
    )
    ray_ingress_replicas: int = Field(
        default=2, ge=1, le=1000, description="Number of replicas that speak HTTP."
    )
    ray_engine_replicas: int = Field(
        default=1,
        ge=1,
        le=1000,
        description="Number of replicas that run a backbone. With "
        "`POLYPREFIX_RAY_MAX_ENGINE_REPLICAS`, the minimum number.",
    )
    ray_backbones: Annotated[str | None, AfterValidator(check_backbones)] = Field(
        default=None,
        description="Backbones to serve next to `POLYPREFIX_BACKBONE`, separated by commas. Each "
        "may have a fixed number of replicas, such as `/models/xlm-roberta=2`. Without one, it has "
        "as many as the default backbone. Unset: none.",
    )
    ray_max_engine_replicas: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="Maximum number of replicas that run a backbone. Ray adds and removes them by "
        "the number of queued tokens. Unset: the number is fixed.",
    )
    ray_slack_tokens: int = Field(
        default=128,
        ge=0,
        description="Number of tokens in flight up to which a replica is never overloaded, so that "
        "its tasks stay at it. Set it to what a replica runs in the time that a request may wait.",
    )
    ray_queued_tokens: int = Field(
        default=4096,
        ge=1,
        description="Number of queued tokens of each replica above which Ray adds replicas.",
    )
    ray_engine_cpus: float = Field(
        default=1.0,
        gt=0,
        le=1024,
        description="CPU cores that Ray reserves for each replica that runs a backbone. It uses as "
        "many threads unless `POLYPREFIX_NUM_THREADS` is set.",
    )
    ray_engine_gpus: float = Field(
        default=0.0,
        ge=0,
        le=16,
        description="GPUs that Ray reserves for each replica that runs a backbone. A fraction lets "
        "replicas share a GPU.",
    )

    @property
    def ray_backbone_list(self) -> tuple[BackboneReplicas, ...]:
        """The backbones in `ray_backbones`."""
        return tuple(backbones_of(self.ray_backbones))

    @model_validator(mode="after")
    def _is_a_range_of_replicas(self) -> Self:
        at_most = self.ray_max_engine_replicas
        if at_most is not None and at_most < self.ray_engine_replicas:
            raise ValueError(
                f"ray_max_engine_replicas is {at_most}, but ray_engine_replicas, the minimum, is "
                f"{self.ray_engine_replicas}. Raise the first or lower the second."
            )
        return self
