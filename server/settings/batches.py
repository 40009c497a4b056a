"""Settings of batch files: how many run, and their limits."""

from pydantic import BaseModel, Field


class BatchFileSettings(BaseModel):
    """How many batch files run, how large they are, and how long their results are kept."""

    num_batches: int = Field(
        default=2,
        ge=1,
        le=64,
        description="Number of batch files that run at the same time, each of another tenant.",
    )
    max_batch_file_mib: int = Field(
        default=256,
        ge=1,
        le=65_536,
        description="Maximum size of a batch file, in MiB.",
    )
    max_batch_file_rows: int = Field(
        default=1_000_000,
        ge=1,
        le=1_000_000_000,
        description="Maximum number of rows of a batch file. A file with more fails.",
    )
    max_unfinished_batches_per_tenant: int = Field(
        default=8,
        ge=1,
        description="Maximum number of queued and running batch files of one tenant. Further ones "
        "get 429.",
    )
    batch_retention_days: float = Field(
        default=7.0,
        gt=0,
        description="Time in days after which a finished batch file and its results are removed.",
    )
