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

if TYPE_CHECKING:
    from training.plan import TrainPlan

_FAILED: Final = 2
_INTERRUPTED: Final = 130
_OUTPUT: Final = Path("var/training")


def _task(text: str) -> Any:
    return typer.Option(help=text, rich_help_panel="Task")


def _recipe(text: str) -> Any:
    return typer.Option(help=text, rich_help_panel="Recipe")


def _place(text: str, **more: Any) -> Any:
    return typer.Option(help=text, rich_help_panel="Where", **more)


TextColumn = Annotated[str | None, _task("Column of the text, when it is not `text`.")]
PairColumn = Annotated[str | None, _task("Column of a pair's second text.")]
PrefixFile = Annotated[Path, typer.Argument(help="A prefix file, as `train` writes it.")]
BackboneName = Annotated[str, _place("`minilm`, a folder, or a model id.")]
Device = Annotated[str, _place("auto, cpu, cuda, ...")]
Dtype = Annotated[str, _place("auto, float32, bfloat16 or float16.")]
Quantize = Annotated[str | None, _place("int8: linear layers on a CPU, in 8 bits.")]
Tokens = Annotated[int, _place("Bounds one pass, and so the memory.", min=1)]


def train(  # noqa: PLR0917 - typer passes all by name
    what: Annotated[str, typer.Argument(help="TENANT/TASK, or a plan: a .toml file of many.")],
    task_type: Annotated[
        str | None,
        _task(
            "sequence_classification, multiple_choice, token_classification, question_answering, "
            "embedding."
        ),
    ] = None,
    train: Annotated[Path | None, _task("Labelled rows: .jsonl or .csv.")] = None,
    validation: Annotated[Path | None, _task("Rows that choose the best step.")] = None,
    test: Annotated[Path | None, _task("Rows for the final measurement.")] = None,
    text_column: TextColumn = None,
    pair_column: PairColumn = None,
    label_column: Annotated[str | None, _task("Column of the label.")] = None,
    labels: Annotated[str | None, _task("All labels in order, with commas.")] = None,
    problem_type: Annotated[
        str | None, _task("single_label_classification, multi_label_classification, regression.")
    ] = None,
    max_rows: Annotated[int | None, _task("Train on a sample this large.")] = None,
    method: Annotated[
        str | None, _recipe("prefix, prompt, or head: the frozen backbone with a head alone.")
    ] = None,
    prompt: Annotated[  # noqa: FBT002
        bool,
        typer.Option(
            "--prompt",
            help="Short for --method prompt: embeddings at the input only.",
            rich_help_panel="Recipe",
        ),
    ] = False,
    prefix_length: Annotated[int | None, _recipe("Number of prefix slots.")] = None,
    projection_size: Annotated[int | None, _recipe("Width of the MLP, if wanted.")] = None,
    learning_rate: Annotated[float | None, _recipe("Of the prefix.")] = None,
    head_learning_rate: Annotated[float | None, _recipe("Of the head.")] = None,
    schedule: Annotated[str | None, _recipe("linear, cosine, constant or exponential.")] = None,
    warmup: Annotated[float | None, _recipe("Share of the steps.")] = None,
    epochs: Annotated[float | None, _recipe("Passes over the rows.")] = None,
    max_steps: Annotated[int | None, _recipe("End before the epochs are over.")] = None,
    batch_size: Annotated[int | None, _recipe("Rows of a batch.")] = None,
    gradient_accumulation: Annotated[int | None, _recipe("Batches of a step.")] = None,
    patience: Annotated[int | None, _recipe("Evaluations without a new best.")] = None,
    max_length: Annotated[int | None, _recipe("Tokens of a text, at most.")] = None,
    seed: Annotated[int | None, _recipe("Of all that is random.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any field of a task: NAME=VALUE.", rich_help_panel="Recipe"),
    ] = None,
    backbone: Annotated[str | None, _place("`minilm`, a folder, or a model id.")] = None,
    device: Annotated[str | None, _place("auto, cpu, cuda, ...")] = None,
    dtype: Annotated[str | None, _place("auto, float32 or bfloat16.")] = None,
    tokens_per_batch: Annotated[int | None, _place("Bounds one pass, and so the memory.")] = None,
    output: Annotated[
        Path | None,
        _place("Folder for files, reports and pictures.", show_default="var/training/WHAT"),
    ] = None,
    num_processes: Annotated[
        int, _place("Processes that share each step, as one for each GPU.", min=1)
    ] = 1,
    resume: Annotated[  # noqa: FBT002
        bool,
        typer.Option("--resume", help="Go on after a kill.", rich_help_panel="Where"),
    ] = False,
    publish: Annotated[str | None, _place("URL of a server, or a store folder.")] = None,
    key: Annotated[str, _place("API key for that server.", envvar="POLYPREFIX_KEY")] = "",
    alias: Annotated[str | None, _place("Alias to point to the result.")] = None,
) -> None:
    """Train prefixes on labelled rows, measure them, and publish them if asked to.

    Several prefixes (a plan) learn at once over one loaded backbone. Of a grid, the best run of
    each task is published.
    """
    flags = {name: value for name, value in locals().items() if value is not None}
    with _sentences():
        plan = _plan(what, flags)
        if num_processes > 1 and "WORLD_SIZE" not in os.environ:
            from training.launch import run_together

            sys.exit(run_together(sys.orig_argv, num_processes))
        from training.commands import train_and_publish

        train_and_publish(
            plan,
            output or _OUTPUT / (Path(what).stem if what.endswith(".toml") else what),
            resume=resume,
            publish_to=publish,
            key=key,
            alias=alias,
        )


def evaluate(  # noqa: PLR0917 - typer passes all by name
    prefix_file: PrefixFile,
    data: Annotated[Path, typer.Argument(help="Labelled rows: .jsonl or .csv.")],
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
        from training.commands import Place, evaluate_file
        from training.examples import Columns

        evaluate_file(
            prefix_file,
            data,
            Columns(text_column, pair_column, label_column),
            Place(backbone, device, dtype, quantize, tokens_per_batch),
            as_json=as_json,
        )


def predict(  # noqa: PLR0917 - typer passes all by name
    prefix_file: PrefixFile,
    data: Annotated[Path, typer.Argument(help="Texts: .jsonl or .csv.")],
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
        from training.commands import Place, predict_file
        from training.examples import Columns

        predict_file(
            prefix_file,
            data,
            Columns(text_column, pair_column),
            Place(backbone, device, dtype, quantize, tokens_per_batch),
            output=output,
        )


def _plan(what: str, flags: Mapping[str, Any]) -> "TrainPlan":
    """Build the plan of a training: flags come before what a plan file says."""
    from training.config import TrainConfig
    from training.plan import TrainPlan, check_plan, load_plan

    run = {name: flags[name] for name in TrainConfig.model_fields if name in flags}
    if flags.get("prompt"):
        if run.get("method", "prompt") != "prompt":
            _leave(f"--prompt and --method {run['method']} contradict each other", _FAILED)
        run["method"] = "prompt"
    if "labels" in run:
        run["labels"] = [label.strip() for label in run["labels"].split(",")]
    run |= _assignments(flags.get("set_", []))
    shared = {name: flags[name] for name in TrainPlan.model_fields if name in flags}
    if what.endswith(".toml"):
        return load_plan(Path(what), plan=shared, run=run)
    return check_plan({**shared, "runs": [{"task": what, **run}]}, origin="the command line")


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
