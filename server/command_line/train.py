"""The commands `train` and `recipes`: flags to values, failures to sentences.

What `train` does lies in `server.command_line.training_run`, imported only when a command runs:
`--help` answers without loading torch.
"""

# ruff: noqa: PLC0415 - see above

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from server.command_line.ptuning_v2_flags import OriginalFlags, takes_original_flags
from server.command_line.shared_options import (
    SOURCES,
    PairColumn,
    TextColumn,
    of_place,
    of_recipe,
    of_task,
)
from training.errors import PlanRejected
from training.files.sentences import sentences
from training.recipes import load_recipe, recipe_rows

_OUTPUT: Final = Path("var/training")


@takes_original_flags
def train(  # noqa: PLR0917 - typer passes all by name
    what: Annotated[
        str | None, typer.Argument(help="TENANT/TASK, or a plan: a .toml file of many.")
    ] = None,
    task_type: Annotated[
        str | None,
        of_task(
            "sequence_classification, multiple_choice, token_classification, question_answering, "
            "embedding."
        ),
    ] = None,
    train: Annotated[
        str | None, of_task(f"Labelled rows: {SOURCES}.", "--train", "--train-file")
    ] = None,
    validation: Annotated[
        str | None, of_task("Rows that choose the best step.", "--validation", "--validation-file")
    ] = None,
    test: Annotated[
        str | None, of_task("Rows for the final measurement.", "--test", "--test-file")
    ] = None,
    text_column: TextColumn = None,
    pair_column: PairColumn = None,
    label_column: Annotated[str | None, of_task("Column of the label.")] = None,
    label_columns: Annotated[
        str | None, of_task("Columns of zeros and ones, one for each label, with commas.")
    ] = None,
    labels: Annotated[str | None, of_task("All labels in order, with commas.")] = None,
    problem_type: Annotated[
        str | None, of_task("single_label_classification, multi_label_classification, regression.")
    ] = None,
    snap_to_words: Annotated[
        bool | None,
        of_task("Extend entities to whole words of the tokenizer.", "--snap-to-words"),
    ] = None,
    max_rows: Annotated[
        int | None, of_task("Train on a sample this large.", "--max-rows", "--max-train-samples")
    ] = None,
    method: Annotated[
        str | None,
        of_recipe("prefix, prompt, head (alone, the backbone frozen), or full (fine-tuning)."),
    ] = None,
    prompt: Annotated[  # noqa: FBT002
        bool,
        typer.Option(
            "--prompt",
            help="Short for --method prompt: embeddings at the input only.",
            rich_help_panel="Recipe",
        ),
    ] = False,
    prefix_length: Annotated[int | None, of_recipe("Number of prefix slots.")] = None,
    projection_size: Annotated[int | None, of_recipe("Width of the MLP, if wanted.")] = None,
    start_from: Annotated[
        str | None, of_recipe("A prefix file, or STORE#TENANT/TASK, to begin as.")
    ] = None,
    class_weights: Annotated[
        str | None, of_recipe("balanced: every label counts alike, however rare.")
    ] = None,
    learning_rate: Annotated[float | None, of_recipe("Of the prefix.")] = None,
    head_learning_rate: Annotated[float | None, of_recipe("Of the head.")] = None,
    schedule: Annotated[
        str | None,
        of_recipe(
            "linear, cosine, constant, exponential or exponential_per_epoch.",
            "--schedule",
            "--lr-scheduler-type",
        ),
    ] = None,
    warmup: Annotated[
        float | None, of_recipe("Share of the steps.", "--warmup", "--warmup-ratio")
    ] = None,
    weight_decay: Annotated[float | None, of_recipe("Of all that learns.")] = None,
    max_gradient_norm: Annotated[
        float | None,
        of_recipe("Gradients are cut to it.", "--max-gradient-norm", "--max-grad-norm"),
    ] = None,
    epochs: Annotated[
        float | None, of_recipe("Passes over the rows.", "--epochs", "--num-train-epochs")
    ] = None,
    max_steps: Annotated[int | None, of_recipe("End before the epochs are over.")] = None,
    batch_size: Annotated[
        int | None, of_recipe("Rows of a batch.", "--batch-size", "--per-device-train-batch-size")
    ] = None,
    gradient_accumulation: Annotated[
        int | None,
        of_recipe("Batches of a step.", "--gradient-accumulation", "--gradient-accumulation-steps"),
    ] = None,
    patience: Annotated[int | None, of_recipe("Evaluations without a new best.")] = None,
    max_length: Annotated[
        int | None, of_recipe("Tokens of a text, at most.", "--max-length", "--max-seq-length")
    ] = None,
    seed: Annotated[int | None, of_recipe("Of all that is random.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any field of a task: NAME=VALUE.", rich_help_panel="Recipe"),
    ] = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            help="Search a field: NAME=LOW..HIGH or NAME=A,B,C.", rich_help_panel="Recipe"
        ),
    ] = None,
    trials: Annotated[int | None, of_recipe("Settings that a sweep tries.")] = None,
    backbone: Annotated[
        str | None,
        of_place("`minilm`, a folder, or a model id.", "--backbone", "--model-name-or-path"),
    ] = None,
    device: Annotated[str | None, of_place("auto, cpu, cuda, ...")] = None,
    dtype: Annotated[str | None, of_place("auto, float32 or bfloat16.")] = None,
    tokens_per_batch: Annotated[int | None, of_place("Bounds one pass, and so the memory.")] = None,
    output: Annotated[
        Path | None,
        of_place(
            "Folder for files, reports and pictures.",
            "--output",
            "--output-dir",
            show_default="var/training/WHAT",
        ),
    ] = None,
    num_processes: Annotated[
        int, of_place("Processes that share each step, as one for each GPU.", min=1)
    ] = 1,
    resume: Annotated[  # noqa: FBT002
        bool,
        typer.Option("--resume", help="Go on after a kill.", rich_help_panel="Where"),
    ] = False,
    publish: Annotated[str | None, of_place("URL of a server, or a store folder.")] = None,
    key: Annotated[str, of_place("API key for a server.", envvar="POLYPREFIX_KEY")] = "",
    alias: Annotated[str | None, of_place("Alias to point to the result.")] = None,
    *,
    original: OriginalFlags,
) -> None:
    """Train prefixes on labelled rows, measure them, and publish them if asked to.

    Several prefixes (a plan) learn at once over one loaded backbone. Of a grid, the best run of
    each task is published. A set of P-tuning v2 is named by --task and --dataset, or a --recipe.
    """
    own = {name: value for name, value in locals().items() if value is not None}
    flags = {**original.place, **own}
    with sentences():
        from server.command_line.plan_from_flags import plan_of
        from server.command_line.ptuning_v2_settings import parts_of

        if num_processes == 1 or "WORLD_SIZE" in os.environ:  # else the processes say it
            _tell(original.remarks)
        recipe = load_recipe(original.recipe) if original.recipe else {}
        dataset = original.dataset_of(recipe)
        name = what or (dataset and f"local/{dataset.replace('/', '-')}")
        if name is None:
            raise PlanRejected("Name what to train: TENANT/TASK, a plan, or --task and --dataset")
        folder = output or _OUTPUT / (Path(name).stem if name.lower().endswith(".toml") else name)
        parts = parts_of(original, dataset, flags)  # now, not after hours of training
        if original.trains:
            plan = plan_of(name, flags, recipe)
            if plan.is_full:
                from server.command_line.training_run import fine_tune

                given = {
                    "--resume": resume,
                    "--publish": publish is not None,
                    "--alias": alias is not None,
                    "--num-processes": num_processes > 1,
                    "--do-predict": bool(parts),
                }
                fine_tune(plan, folder, refused=[name for name, is_so in given.items() if is_so])
                return
            if num_processes > 1 and "WORLD_SIZE" not in os.environ:
                from server.command_line.parallel_launch import run_together

                sys.exit(run_together(sys.orig_argv, num_processes))
            from server.command_line.training_run import train_and_publish

            train_and_publish(plan, folder, resume=resume, publish_to=publish, key=key, alias=alias)
        if parts:
            from server.command_line.ptuning_v2_evaluation import use_parts

            use_parts(parts, folder, {**recipe, **flags}, n_best=original.n_best_size)


def _tell(remarks: Sequence[str]) -> None:
    if os.environ.get("RANK", "0") == "0":  # one for all processes
        for remark in remarks:
            typer.echo(remark, err=True)


def recipes() -> None:
    """List the recipes that `train --recipe` knows: the scripts of P-tuning v2, and our own."""
    from rich.console import Console
    from rich.table import Column, Table

    names = ("name", "dataset", "backbone", "lr", "length", "epochs", "batch")
    table = Table(*(Column(name, overflow="fold") for name in names))
    for row in recipe_rows():
        table.add_row(*row)
    Console().print(table)
