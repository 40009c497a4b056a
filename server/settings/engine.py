"""Settings of the engine: the backbone, the device, batches, and prefixes in memory."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field

from server.settings.lists import check_references


class EngineSettings(BaseModel):
    """The backbone, its device, the size of batches, and the memory of prefixes."""

    backbone: str = Field(
        default="minilm",
        description="Frozen encoder: `minilm` (packaged), a folder, or a model id of the "
        "Hugging Face hub.",
    )
    device: str = Field(
        default="auto",
        description="Device of the backbone: `cpu`, `cuda`, `cuda:1` and so on, or `mps` "
        "(untested). `auto` picks an NVIDIA GPU if there is one.",
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto",
        description="Data type of the backbone's weights and activations: `float32`, `bfloat16` or "
        "`float16`. `auto` benchmarks the device at startup and picks the fastest.",
    )
    quantize: Literal["int8"] | None = Field(
        default=None,
        description="`int8` runs the encoder's linear layers in int8, on a CPU only. Unset: no "
        "quantization.",
    )
    linear_kernel: Literal["auto", "torch", "onednn"] = Field(
        default="auto",
        description="Kernel of the backbone's linear layers: `torch`, or `onednn` for weights that "
        "are packed once, on a CPU. `auto` benchmarks both at the first start and caches the "
        "result in `POLYPREFIX_STORE_FOLDER`.",
    )
    attention_kernel: Literal["auto", "torch", "compiled", "compiled-64", "compiled-128"] = Field(
        default="auto",
        description="Kernel of prefix attention: `torch`, or `compiled` for the one that is "
        "compiled at installation, on a CPU. `compiled-64` and `compiled-128` use it for texts of "
        "at most 64 or 128 tokens. `auto` benchmarks all, like the linear kernel.",
    )
    num_threads: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="CPU threads of the forward pass. Unset: one for each core that the process "
        "may use.",
    )
    num_streams: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="Number of batches that run at the same time on a CPU. They share "
        "the threads of `POLYPREFIX_NUM_THREADS`. Unset: one for each thread, at most 4. A GPU "
        "always runs one.",
    )
    max_batch_tokens: int = Field(
        default=4096,
        ge=16,
        description="Maximum number of tokens in one forward pass. A longer text runs alone.",
    )
    target_latency_ms: float | None = Field(
        default=None,
        gt=0,
        le=60_000,
        description="Target time from the arrival of a text to its response when no texts are "
        "queued, in milliseconds. The server runs trial batches at startup and reduces "
        "`POLYPREFIX_MAX_BATCH_TOKENS` to meet it. Unset: no target.",
    )
    max_batch_rows: int = Field(
        default=256, ge=1, description="Maximum number of texts in one forward pass."
    )
    max_waiting_inputs: int = Field(
        default=2048,
        ge=1,
        description="Maximum number of in-flight texts. Further requests get 429.",
    )
    resident_mib: int = Field(
        default=512,
        ge=1,
        description="Device memory for prefixes, in MiB. The least recently used are evicted.",
    )
    host_mib: int | None = Field(
        default=None,
        ge=0,
        description="Host memory for prefixes that were evicted from the device, in MiB. They are "
        "loaded again from this memory; their files are not read. Unset: 4096 with a GPU, 0 on a "
        "CPU.",
    )
    pinned: Annotated[str | None, AfterValidator(check_references)] = Field(
        default=None,
        description="Prefixes that are never evicted, separated by commas, such as "
        "`acme/spam,acme/tone:next,shop/topic@3`. Unset: none.",
    )
