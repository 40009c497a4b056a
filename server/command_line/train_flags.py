"""The flags of `train`, in the sections in which `--help` lists them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from server.command_line.place import place_option
from server.command_line.shared_options import (
    ATTENTION_KERNEL,
    BACKBONE,
    LINEAR_KERNEL,
    SOURCES,
    LabelColumn,
    PairColumn,
    TextColumn,
    recipe_option,
    runtime_option,
    task_option,
)


@dataclass(frozen=True, slots=True)
class TaskFlags:
    """The task, and the rows to learn from."""

    task_type: Annotated[
        str | None,
        task_option(
            "sequence_classification, multiple_choice, token_classification, question_answering "
            "or embedding."
        ),
    ] = None
    train: Annotated[
        str | None, task_option(f"Labeled rows: {SOURCES}.", "--train", "--train-file")
    ] = None
    validation: Annotated[
        str | None,
        task_option("Rows that select the best step.", "--validation", "--validation-file"),
    ] = None
    test: Annotated[
        str | None, task_option("Rows for the final measurement.", "--test", "--test-file")
    ] = None
    feedback: Annotated[
        str | None,
        task_option("Rows that correct the labeled rows, as `polyprefix feedback export` writes."),
    ] = None
    unlabeled: Annotated[
        str | None,
        task_option(
            "Rows without labels, which the teacher answers.", "--unlabeled", "--unlabelled"
        ),
    ] = None
    text_column: TextColumn = None
    pair_column: PairColumn = None
    label_column: LabelColumn = None
    label_columns: Annotated[
        str | None, task_option("Columns of zeros and ones, one per label, separated by commas.")
    ] = None
    labels: Annotated[
        str | None,
        task_option(
            "All labels in order: separated by commas, or a .txt or .json file. Enough to start "
            "without rows."
        ),
    ] = None
    problem_type: Annotated[
        str | None,
        task_option("single_label_classification, multi_label_classification or regression."),
    ] = None
    snap_to_words: Annotated[
        bool | None,
        task_option("Extend entities to whole words of the tokenizer.", "--snap-to-words"),
    ] = None
    long_texts: Annotated[
        str | None,
        task_option("truncate, or windows: read long texts in overlapping windows."),
    ] = None
    stride: Annotated[int | None, task_option("Number of tokens by which windows overlap.")] = None
    merge: Annotated[
        str | None, task_option("mean, max or first: how windows of a text are classified.")
    ] = None
    max_rows: Annotated[
        int | None,
        task_option("Train on a sample of this many rows.", "--max-rows", "--max-train-samples"),
    ] = None


@dataclass(frozen=True, slots=True)
class RecipeFlags:
    """The method and its settings."""

    method: Annotated[
        str | None,
        recipe_option(
            "vectors (of the norms), prefix, prompt, head (on the frozen backbone), few_shot (a "
            "head in seconds, without training), or full (fine-tuning). By default few_shot if "
            "rows are few, else vectors; or prefix, if a setting of prefixes is set."
        ),
    ] = None
    prompt: Annotated[
        bool, recipe_option("Short for --method prompt: embeddings at the input only.", "--prompt")
    ] = False
    prefix_length: Annotated[
        int | None, recipe_option("Number of prefix slots. Implies --method prefix.")
    ] = None
    rank: Annotated[
        int | None, recipe_option("Rank of the update of the norms by vectors; 0: no update.")
    ] = None
    projection_size: Annotated[
        int | None, recipe_option("Width of an MLP that makes the prefix. Implies --method prefix.")
    ] = None
    start_from: Annotated[
        str | None, recipe_option("Prefix file, or STORE#TENANT/TASK, to start from.")
    ] = None
    teacher: Annotated[
        str | None,
        recipe_option(
            "Also learn the answers of a fine-tuned model: full trains one first, or its folder."
        ),
    ] = None
    teacher_weight: Annotated[
        float | None, recipe_option("Share of the loss for the teacher's answers.")
    ] = None
    teacher_temperature: Annotated[
        float | None, recipe_option("Temperature at which answers are compared.")
    ] = None
    class_weights: Annotated[
        str | None, recipe_option("`balanced` gives every label the same weight in the loss.")
    ] = None
    threshold: Annotated[
        str | None,
        recipe_option("Fit the threshold of each label: f1, precision>=0.95 or recall>=0.9."),
    ] = None
    hierarchy: Annotated[
        str | None,
        recipe_option("`labels`: labels such as billing/refund are a tree, split at /."),
    ] = None
    learning_rate: Annotated[
        float | None, recipe_option("Learning rate of the vectors, prefix or prompt.")
    ] = None
    head_learning_rate: Annotated[float | None, recipe_option("Learning rate of the head.")] = None
    schedule: Annotated[
        str | None,
        recipe_option(
            "linear, cosine, constant, exponential or exponential_per_epoch.",
            "--schedule",
            "--lr-scheduler-type",
        ),
    ] = None
    warmup: Annotated[
        float | None, recipe_option("Warmup as a share of all steps.", "--warmup", "--warmup-ratio")
    ] = None
    weight_decay: Annotated[
        float | None, recipe_option("Weight decay of all trained parameters.")
    ] = None
    max_gradient_norm: Annotated[
        float | None,
        recipe_option("Clip gradients to this norm.", "--max-gradient-norm", "--max-grad-norm"),
    ] = None
    epochs: Annotated[
        float | None, recipe_option("Passes over the rows.", "--epochs", "--num-train-epochs")
    ] = None
    max_steps: Annotated[
        int | None, recipe_option("Maximum number of steps, even if epochs remain.")
    ] = None
    batch_size: Annotated[
        int | None,
        recipe_option("Rows per batch.", "--batch-size", "--per-device-train-batch-size"),
    ] = None
    gradient_accumulation: Annotated[
        int | None,
        recipe_option(
            "Batches per step.", "--gradient-accumulation", "--gradient-accumulation-steps"
        ),
    ] = None
    patience: Annotated[
        int | None, recipe_option("Stop after this many evaluations without a new best.")
    ] = None
    reject: Annotated[
        float | None,
        recipe_option(
            "Abstain on texts outside of the labels; keep this share of the validation rows."
        ),
    ] = None
    max_length: Annotated[
        int | None,
        recipe_option("Maximum number of tokens per text.", "--max-length", "--max-seq-length"),
    ] = None
    seed: Annotated[int | None, recipe_option("Seed of all random numbers.")] = None
    set_: Annotated[
        list[str] | None, recipe_option("Set any field of a task: NAME=VALUE.", "--set")
    ] = None
    sweep: Annotated[
        list[str] | None, recipe_option("Search a field: NAME=LOW..HIGH or NAME=A,B,C.")
    ] = None
    trials: Annotated[int | None, recipe_option("Number of trials of a sweep.")] = None


@dataclass(frozen=True, slots=True)
class RuntimeFlags:
    """The device, the output folder, and the place to publish to."""

    backbone: Annotated[
        str | None, runtime_option(BACKBONE, "--backbone", "--model-name-or-path")
    ] = None
    device: Annotated[str | None, runtime_option("auto, cpu, cuda, cuda:N or mps.")] = None
    dtype: Annotated[str | None, runtime_option("auto, float32 or bfloat16.")] = None
    linear_kernel: Annotated[str | None, runtime_option(LINEAR_KERNEL)] = None
    attention_kernel: Annotated[str | None, runtime_option(ATTENTION_KERNEL)] = None
    tokens_per_batch: Annotated[
        int | None,
        runtime_option("Maximum number of tokens in one forward pass. Limits memory."),
    ] = None
    output: Annotated[
        Path | None,
        runtime_option(
            "Folder for prefix files, reports and plots.",
            "--output",
            "--output-dir",
            show_default="var/training/WHAT",
        ),
    ] = None
    num_processes: Annotated[
        int, runtime_option("Processes that share each step, such as one per GPU.", min=1)
    ] = 1
    resume: Annotated[
        bool, runtime_option("Continue from the checkpoint in the output folder.", "--resume")
    ] = False
    publish: Annotated[
        str | None, runtime_option("Publish to a server's URL or a store folder.")
    ] = None
    key: Annotated[str, runtime_option("API key for a server.", envvar="POLYPREFIX_KEY")] = ""
    alias: Annotated[str | None, runtime_option("Alias to point to the published version.")] = None


@dataclass(frozen=True, slots=True)
class RemoteFlags:
    """The server that trains, instead of this machine."""

    url: Annotated[
        str | None,
        place_option(
            "Train on this server, and publish there. POLYPREFIX_URL alone trains here.", "--url"
        ),
    ] = None
    remote: Annotated[
        bool,
        place_option("Train on the server of POLYPREFIX_URL or of `polyprefix login`.", "--remote"),
    ] = False
    as_json: Annotated[
        bool, place_option("Print the finished training of a server as JSON.", "--json")
    ] = False

    @property
    def is_remote(self) -> bool:
        return self.remote or self.url is not None

    def check(self) -> None:
        """Check that `--json` is given for a server only.

        Raises:
            BadParameter: otherwise.
        """
        if self.as_json and not self.is_remote:
            raise typer.BadParameter(
                "--json prints the training of a server. Here, report.json in the output folder "
                "has the results. Add --url or --remote, or omit it."
            )
