"""Options that several commands have, and the sections of `--help` that list them."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

SOURCES: Final = (
    ".jsonl, .json, .csv, .tsv, .parquet, a folder of save_to_disk, or hub:PATH:CONFIG:SPLIT"
)
BACKBONE: Final = "`minilm`, a folder, or a model id of the hub."
LINEAR_KERNEL: Final = "auto, torch or onednn: kernel of the linear layers."
ATTENTION_KERNEL: Final = "auto, torch or compiled: kernel of prefix attention."


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
Device = Annotated[str, runtime_option("auto, cpu, cuda, cuda:N or mps.")]
Dtype = Annotated[str, runtime_option("auto, float32, bfloat16 or float16.")]
Quantize = Annotated[
    str | None, runtime_option("`int8` runs the linear layers in int8, on a CPU only.")
]
LinearKernel = Annotated[str, runtime_option(LINEAR_KERNEL)]
AttentionKernel = Annotated[str, runtime_option(ATTENTION_KERNEL)]
LongText = Annotated[
    str | None,
    runtime_option("truncate or windows: how to read long texts. Default: as the file says."),
]
TokensPerBatch = Annotated[
    int, runtime_option("Maximum number of tokens in one forward pass. Limits memory.", min=1)
]
