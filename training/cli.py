"""The commands `train`, `evaluate` and `predict`: flags to values, failures to sentences.

What they do lies in `training.commands`, imported only when a command runs: `--help` answers
without loading torch.
"""

# ruff: noqa: PLC0415 - see above

import os
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer

from training.errors import PlanRejected
from training.original_flags import OriginalFlags, takes_original_flags
from training.recipes import load_recipe

if TYPE_CHECKING:
    from training.plan import TrainPlan

_FAILED: Final = 2
_INTERRUPTED: Final = 130
_OUTPUT: Final = Path("var/training")
_SOURCES: Final = (
    ".jsonl, .json, .csv, .tsv, .parquet, a folder of save_to_disk, or hub:PATH:CONFIG:SPLIT"
)


def _task(text: str, *names: str) -> Any:
    return typer.Option(*names, help=text, rich_help_panel="Task")


def _recipe(text: str, *names: str) -> Any:
    return typer.Option(*names, help=text, rich_help_panel="Recipe")


def _place(text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel="Where", **more)


TextColumn = Annotated[str | None, _task("Column of the text, when it is not `text`.")]
PairColumn = Annotated[str | None, _task("Column of a pair's second text.")]
PrefixFile = Annotated[Path, typer.Argument(help="A prefix file, as `train` writes it.")]
BackboneName = Annotated[str, _place("`minilm`, a folder, or a model id.")]
Device = Annotated[str, _place("auto, cpu, cuda, ...")]
Dtype = Annotated[str, _place("auto, float32, bfloat16 or float16.")]
Quantize = Annotated[str | None, _place("int8: linear layers on a CPU, in 8 bits.")]
Tokens = Annotated[int, _place("Bounds one pass, and so the memory.", min=1)]


@takes_original_flags
def train(  # noqa: PLR0917 - typer passes all by name
    what: Annotated[
        str | None, typer.Argument(help="TENANT/TASK, or a plan: a .toml file of many.")
    ] = None,
    task_type: Annotated[
        str | None,
        _task(
            "sequence_classification, multiple_choice, token_classification, question_answering, "
            "embedding."
        ),
    ] = None,
    train: Annotated[
        str | None, _task(f"Labelled rows: {_SOURCES}.", "--train", "--train-file")
    ] = None,
    validation: Annotated[
        str | None, _task("Rows that choose the best step.", "--validation", "--validation-file")
    ] = None,
    test: Annotated[
        str | None, _task("Rows for the final measurement.", "--test", "--test-file")
    ] = None,
    text_column: TextColumn = None,
    pair_column: PairColumn = None,
    label_column: Annotated[str | None, _task("Column of the label.")] = None,
    labels: Annotated[str | None, _task("All labels in order, with commas.")] = None,
    problem_type: Annotated[
        str | None, _task("single_label_classification, multi_label_classification, regression.")
    ] = None,
    max_rows: Annotated[
        int | None, _task("Train on a sample this large.", "--max-rows", "--max-train-samples")
    ] = None,
    prompt: Annotated[  # noqa: FBT002
        bool,
        typer.Option(
            "--prompt",
            help="Embeddings at the input instead of keys and values in every layer.",
            rich_help_panel="Recipe",
        ),
    ] = False,
    prefix_length: Annotated[
        int | None, _recipe("Number of prefix slots.", "--prefix-length", "--pre-seq-len")
    ] = None,
    projection_size: Annotated[int | None, _recipe("Width of the MLP, if wanted.")] = None,
    start_from: Annotated[
        str | None, _recipe("A prefix file, or STORE#TENANT/TASK, to begin as.")
    ] = None,
    class_weights: Annotated[
        str | None, _recipe("balanced: every label counts alike, however rare.")
    ] = None,
    learning_rate: Annotated[float | None, _recipe("Of the prefix.")] = None,
    head_learning_rate: Annotated[float | None, _recipe("Of the head.")] = None,
    schedule: Annotated[
        str | None, _recipe("linear, cosine, constant, exponential or exponential_per_epoch.")
    ] = None,
    warmup: Annotated[float | None, _recipe("Share of the steps.")] = None,
    epochs: Annotated[
        float | None, _recipe("Passes over the rows.", "--epochs", "--num-train-epochs")
    ] = None,
    max_steps: Annotated[int | None, _recipe("End before the epochs are over.")] = None,
    batch_size: Annotated[
        int | None, _recipe("Rows of a batch.", "--batch-size", "--per-device-train-batch-size")
    ] = None,
    gradient_accumulation: Annotated[
        int | None,
        _recipe("Batches of a step.", "--gradient-accumulation", "--gradient-accumulation-steps"),
    ] = None,
    patience: Annotated[int | None, _recipe("Evaluations without a new best.")] = None,
    max_length: Annotated[
        int | None, _recipe("Tokens of a text, at most.", "--max-length", "--max-seq-length")
    ] = None,
    seed: Annotated[int | None, _recipe("Of all that is random.")] = None,
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
    trials: Annotated[int | None, _recipe("Settings that a sweep tries.")] = None,
    backbone: Annotated[
        str | None,
        _place("`minilm`, a folder, or a model id.", "--backbone", "--model-name-or-path"),
    ] = None,
    device: Annotated[str | None, _place("auto, cpu, cuda, ...")] = None,
    dtype: Annotated[str | None, _place("auto, float32 or bfloat16.")] = None,
    tokens_per_batch: Annotated[int | None, _place("Bounds one pass, and so the memory.")] = None,
    output: Annotated[
        Path | None,
        _place(
            "Folder for files, reports and pictures.",
            "--output",
            "--output-dir",
            show_default="var/training/WHAT",
        ),
    ] = None,
    resume: Annotated[  # noqa: FBT002
        bool,
        typer.Option("--resume", help="Go on after a kill.", rich_help_panel="Where"),
    ] = False,
    publish: Annotated[str | None, _place("URL of a server, or a store folder.")] = None,
    key: Annotated[str, _place("API key for a server.", envvar="POLYPREFIX_KEY")] = "",
    alias: Annotated[str | None, _place("Alias to point to the result.")] = None,
    *,
    original: OriginalFlags,
) -> None:
    """Train prefixes on labelled rows, measure them, and publish them if asked to.

    Several prefixes (a plan) learn at once over one loaded backbone. Of a grid, the best run of
    each task is published. A set of P-tuning v2 is named by --task and --dataset, or a --recipe.
    """
    flags = {name: value for name, value in locals().items() if value is not None}
    with _sentences():
        recipe = load_recipe(original.recipe) if original.recipe else {}
        dataset = original.dataset_of(recipe)
        name = what or (dataset and f"local/{dataset.replace('/', '-')}")
        if name is None:
            raise PlanRejected("Name what to train: TENANT/TASK, a plan, or --task and --dataset")
        folder = output or _OUTPUT / (Path(name).stem if name.endswith(".toml") else name)
        parts = original.parts(dataset, flags)  # now, not after hours of training
        if original.trains:
            plan = _plan(name, flags, recipe)
            from training.commands import train_and_publish

            train_and_publish(plan, folder, resume=resume, publish_to=publish, key=key, alias=alias)
        if parts:
            from training.flow import use_parts

            use_parts(parts, folder, {**recipe, **flags}, n_best=original.n_best_size)


def evaluate(  # noqa: PLR0917 - typer passes all by name
    prefix_file: PrefixFile,
    data: Annotated[str, typer.Argument(help=f"Labelled rows: {_SOURCES}.")],
    text_column: TextColumn = None,
    pair_column: PairColumn = None,
    label_column: Annotated[str | None, _task("Column of the label.")] = None,
    backbone: BackboneName = "minilm",
    device: Device = "auto",
    dtype: Dtype = "float32",
    quantize: Quantize = None,
    tokens_per_batch: Tokens = 8192,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,  # noqa: FBT002
) -> None:
    """Measure a prefix file on labelled rows.

    In another precision than float32, also by how much its figures differ from those in float32,
    and how many answers changed.
    """
    with _sentences():
        from training.commands import Place, evaluate_file, source_of
        from training.examples import Columns

        evaluate_file(
            prefix_file,
            source_of(data),
            Columns(text_column, pair_column, label_column),
            Place(backbone, device, dtype, quantize, tokens_per_batch),
            as_json=as_json,
        )


def predict(  # noqa: PLR0917 - typer passes all by name
    prefix_file: PrefixFile,
    data: Annotated[str, typer.Argument(help=f"Texts: {_SOURCES}.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A .jsonl file.", show_default="stdout")
    ] = None,
    text_column: TextColumn = None,
    pair_column: PairColumn = None,
    backbone: BackboneName = "minilm",
    device: Device = "auto",
    dtype: Dtype = "float32",
    quantize: Quantize = None,
    tokens_per_batch: Tokens = 8192,
) -> None:
    """Run a prefix file over texts: one JSON object a row, with what the prefix says of it."""
    with _sentences():
        from training.commands import Place, predict_file, source_of
        from training.examples import Columns

        predict_file(
            prefix_file,
            source_of(data),
            Columns(text_column, pair_column),
            Place(backbone, device, dtype, quantize, tokens_per_batch),
            output=output,
        )


def recipes() -> None:
    """List the recipes that `train --recipe` knows: the scripts of P-tuning v2, and our own."""
    from rich.console import Console
    from rich.table import Column, Table

    from training.recipes import recipe_rows

    names = ("name", "dataset", "backbone", "lr", "length", "epochs", "batch")
    table = Table(*(Column(name, overflow="fold") for name in names))
    for row in recipe_rows():
        table.add_row(*row)
    Console().print(table)


def _plan(what: str, flags: Mapping[str, Any], recipe: Mapping[str, Any]) -> "TrainPlan":
    """Build the plan of a training: flags come before what a recipe or a plan file says."""
    from training.config import TrainConfig
    from training.plan import TrainPlan, check_plan, load_plan

    original: OriginalFlags = flags["original"]
    of_plan = {name: recipe[name] for name in TrainPlan.model_fields if name in recipe}
    of_run = {name: value for name, value in recipe.items() if name not in of_plan}
    run = original.settings(of_run, flags)
    # Where the test rows are predicted, they are measured with that, as far as they have labels.
    unused = {"test"} if original.do_predict else set()
    run |= {x: flags[x] for x in TrainConfig.model_fields if x in flags and x not in unused}
    if flags.get("prompt"):
        run["method"] = "prompt"
    if "labels" in run:
        run["labels"] = [label.strip() for label in run["labels"].split(",")]
    run |= _assignments(flags.get("set_", []))
    fields = [name for name in TrainPlan.model_fields if name != "sweep"]
    shared = {**of_plan, **{name: flags[name] for name in fields if name in flags}}
    if what.endswith(".toml"):
        if "sweep" in flags or "trials" in flags:
            _leave("--sweep and --trials are for a single task: a plan has [sweep]", _FAILED)
        return load_plan(Path(what), plan=shared, run=run)
    runs = [{"task": what, **run}]
    return check_plan({**shared, **_sweep(flags), "runs": runs}, origin="the command line")


def _sweep(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Read what shall be searched, if anything."""
    from training.space import parse_space

    if "sweep" not in flags:
        if "trials" in flags:
            _leave("--trials belongs to a sweep: say with --sweep what to search", _FAILED)
        return {}
    try:
        space = dict(map(parse_space, flags["sweep"]))
    except ValueError as error:
        _leave(str(error), _FAILED)
    counts = {"trials": flags["trials"]} if "trials" in flags else {}
    return {"sweep": {"space": space, **counts}}


def _assignments(texts: Sequence[str]) -> dict[str, Any]:
    """Read `name=value` pairs; a value is written as in TOML, or is plain text."""
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            _leave(f"--set {text!r}: expected NAME=VALUE", _FAILED)
        try:
            values[name] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            values[name] = value
    return values


@contextmanager
def _sentences() -> Iterator[None]:
    """Tell what went wrong in a sentence and an exit code, without a traceback."""
    from prefixes.errors import PrefixError
    from training.errors import TrainingError

    try:
        yield
    except BrokenPipeError:
        # Whoever read the output has seen enough. Python would complain once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (TrainingError, PrefixError, OSError) as error:
        _leave(str(error), _FAILED)
    except KeyboardInterrupt:
        _leave("stopped; the same command with --resume goes on", _INTERRUPTED)


def _leave(message: str, exit_code: int) -> NoReturn:
    typer.echo(f"polyprefix: {message}", err=True)
    sys.exit(exit_code)
