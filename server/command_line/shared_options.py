"""Options that several commands have, and where the help lists them."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

SOURCES: Final = (
    ".jsonl, .json, .csv, .tsv, .parquet, a folder of save_to_disk, or hub:PATH:CONFIG:SPLIT"
)


def of_task(text: str, *names: str) -> Any:
    return typer.Option(*names, help=text, rich_help_panel="Task")


def of_recipe(text: str, *names: str) -> Any:
    return typer.Option(*names, help=text, rich_help_panel="Recipe")


def of_place(text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel="Where", **more)


TextColumn = Annotated[str | None, of_task("Column of the text, when it is not `text`.")]
PairColumn = Annotated[str | None, of_task("Column of a pair's second text.")]
PrefixFile = Annotated[Path, typer.Argument(help="A prefix file, as `train` writes it.")]
BackboneName = Annotated[str, of_place("`minilm`, a folder, or a model id.")]
Device = Annotated[str, of_place("auto, cpu, cuda, ...")]
Dtype = Annotated[str, of_place("auto, float32, bfloat16 or float16.")]
Quantize = Annotated[str | None, of_place("int8: linear layers on a CPU, in 8 bits.")]
Tokens = Annotated[int, of_place("Bounds one pass, and so the memory.", min=1)]
