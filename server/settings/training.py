"""Settings of trainings: the processes that run them, and limits for tenants."""

from pydantic import BaseModel, Field


class TrainingSettings(BaseModel):
    """Where and how many trainings run, and what they may use."""

    num_trainings: int = Field(
        default=1,
        ge=1,
        le=8,
        description="Number of trainings that run at the same time, each in its own process with "
        "its own backbone.",
    )
    training_threads: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="CPU threads of each training. Unset: one for each core that the process "
        "may use. Requests have priority over trainings.",
    )
    training_niceness: int = Field(
        default=19,
        ge=0,
        le=19,
        description="Nice value of trainings under Linux and macOS: from 0 (a processor for them "
        "as for requests) to 19 (only processors that would be idle).",
    )
    training_device: str = Field(
        default="auto",
        description="Device of trainings, such as `cpu` or `cuda:1`. `auto` uses the backbone's "
        "device.",
    )
    training_memory_share: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="Share of the serving GPU's memory that all trainings together may use. A "
        "training that needs more fails.",
    )
    max_queued_trainings: int = Field(
        default=64,
        ge=1,
        description="Maximum number of queued trainings. Further ones get 429.",
    )
    max_kept_trainings_per_tenant: int = Field(
        default=100,
        ge=1,
        description="Maximum number of trainings of one tenant that are kept, in any state. A new "
        "training removes the oldest finished ones and their files.",
    )
    max_training_file_mib: int = Field(
        default=32,
        ge=1,
        le=1024,
        description="Maximum total size of the files of one training, in MiB.",
    )
    max_training_steps: int = Field(
        default=5000,
        ge=1,
        description="Maximum number of steps of one training. Higher numbers are reduced to it.",
    )
    max_training_seconds: float = Field(
        default=3600.0,
        gt=0,
        description="Maximum processor time of a training, in seconds: the total of all its "
        "threads, divided by the number of threads. On a GPU, the total is not divided. Waiting "
        "for a busy processor does not count. A training that needs more fails.",
    )
    training_retention_days: float = Field(
        default=7.0,
        gt=0,
        description="Time in days after which a finished training and its files are removed.",
    )
