"""Options that several commands have, and the sections of `--help` that list them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

SOURCES: Final = (
    ".jsonl, .json, .csv, .tsv, .parquet, a folder of save_to_disk, or hub:PATH:CONFIG:SPLIT"
)
BACKBONE: Final = "`minilm`, a folder, or a model id of the hub."
LINEAR_KERNEL: Final = "auto, torch or onednn: kernel of the linear layers."
ATTENTION_KERNEL: Final = (
    "auto, torch, compiled, compiled-64 or compiled-128: kernel of prefix attention."
)


def task_option(text: str, *names: str) -> Any:
    return typer.Option(*names, help=text, rich_help_panel="Task")


def recipe_option(text: str, *names: str) -> Any:
    return typer.Option(*names, help=text, rich_help_panel="Recipe")


def runtime_option(text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel="Runtime and output", **more)


TextColumn = Annotated[str | None, task_option("Column of the text, if not `text`.")]
PairColumn = Annotated[str | None, task_option("Column of the second text of a pair.")]
LabelColumn = Annotated[str | None, task_option("Column of the label.")]
PrefixFile = Annotated[Path, typer.Argument(help="A prefix file, as `train` writes it.")]
BackboneName = Annotated[str, runtime_option(BACKBONE)]
LongText = Annotated[
    str | None,
    runtime_option("truncate or windows: how to read long texts. Default: as the file says."),
]


@dataclass(frozen=True, slots=True)
class Runtime:
    """The backbone that a prefix file runs on, its device, number type, kernels and batch size."""

    backbone: BackboneName = "minilm"
    device: Annotated[str, runtime_option("auto, cpu, cuda, cuda:N or mps.")] = "auto"
    dtype: Annotated[str, runtime_option("auto, float32, bfloat16 or float16.")] = "float32"
    quantize: Annotated[
        str | None, runtime_option("`int8` runs the linear layers in int8, on a CPU only.")
    ] = None
    linear_kernel: Annotated[str, runtime_option(LINEAR_KERNEL)] = "auto"
    attention_kernel: Annotated[str, runtime_option(ATTENTION_KERNEL)] = "auto"
    tokens_per_batch: Annotated[
        int,
        runtime_option("Maximum number of tokens in one forward pass. Limits memory.", min=1),
    ] = 8192
