"""The commands `train` and `recipes`."""

# ruff: noqa: PLC0415 - `--help` needs neither pydantic nor torch

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from server.command_line.flag_groups import changed, expand_flags, given
from server.command_line.json_output import AsJson, print_json
from server.command_line.parallel_launch import is_one_of_several
from server.command_line.place import ServerFlags
from server.command_line.ptuning_v2_flags import PtuningV2Flags
from server.command_line.ptuning_v2_ignored import IgnoredFlags
from server.command_line.train_flags import RecipeFlags, RemoteFlags, RuntimeFlags, TaskFlags

if TYPE_CHECKING:
    from server.command_line.ptuning_v2_settings import Part
    from training.settings.plan import TrainPlan

_OUTPUT: Final = Path("var/training")
_NAMELESS: Final = "local/labels"
"""The task of a training that names its labels alone."""
_RECIPE_FIELDS: Final = (
    "name",
    "dataset",
    "backbone",
    "learning_rate",
    "prefix_length",
    "epochs",
    "batch_size",
)


@expand_flags
def train(
    what: Annotated[
        str | None, typer.Argument(help="TENANT/TASK, or a plan of several tasks: a .toml file.")
    ] = None,
    *,
    task: TaskFlags,
    recipe: RecipeFlags,
    runtime: RuntimeFlags,
    ptuning_v2: PtuningV2Flags,
    ignored: IgnoredFlags,
    remote: RemoteFlags,
) -> None:
    """Train prefixes, measure them, and optionally publish them.

    All prefixes of a plan are trained at once on one backbone. Of a grid, the best run of each
    task is published. --task and --dataset, or --recipe, select a dataset of P-tuning v2. With
    --url or --remote, a server trains and publishes.
    """
    from server.command_line.plan_from_flags import plan_of
    from server.command_line.ptuning_v2_settings import dataset_name, parts_of
    from training.recipes import load_recipe

    if runtime.num_processes == 1 or is_one_of_several():  # the launcher leaves it to the first
        _warn((ignored.warning, ptuning_v2.warning))
    flags = {**ptuning_v2.runtime, **given(task), **given(recipe), **given(runtime)}
    settings = load_recipe(ptuning_v2.recipe) if ptuning_v2.recipe else {}
    dataset = dataset_name(ptuning_v2, settings)
    name = _name(what, dataset, has_labels=task.labels is not None)
    remote.check()
    if remote.is_remote:
        _train_remotely(plan_of(name, flags, settings, ptuning_v2), runtime, remote)
        return
    folder = runtime.output or _output(name)
    parts = parts_of(ptuning_v2, dataset, flags)  # before hours of training, not after them
    if ptuning_v2.trains:
        _train(plan_of(name, flags, settings, ptuning_v2), folder, runtime, parts)
    if parts:
        from server.command_line.ptuning_v2_evaluation import use_parts

        use_parts(parts, folder, {**settings, **flags}, n_best=ptuning_v2.n_best_size)


def recipes(
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
) -> None:
    """List the recipes that `train --recipe` accepts.

    A recipe holds the settings of a script of P-tuning v2, or our own defaults.
    """
    from rich.console import Console
    from rich.table import Column, Table

    from training.recipes import recipe_rows

    if as_json:
        print_json([dict(zip(_RECIPE_FIELDS, row, strict=True)) for row in recipe_rows()])
        return
    names = ("name", "dataset", "backbone", "lr", "length", "epochs", "batch")
    table = Table(*(Column(name, overflow="fold") for name in names))
    for row in recipe_rows():
        table.add_row(*row)
    Console().print(table)


def _train(plan: "TrainPlan", folder: Path, runtime: RuntimeFlags, parts: Sequence["Part"]) -> None:
    """Train in this process, or in as many as the flags say."""
    if plan.is_full:
        from server.command_line.training_run import fine_tune

        fine_tune(plan, folder, rejected=_flags_of_prefixes(runtime, parts))
        return
    if plan.is_few_shot and (runtime.num_processes > 1 or is_one_of_several()):
        from training.errors import PlanRejected

        raise PlanRejected(
            "Method 'few_shot' takes seconds in one process. Remove --num-processes."
        )
    if runtime.num_processes > 1 and not is_one_of_several():
        from server.command_line.parallel_launch import run_together

        sys.exit(run_together(sys.orig_argv, runtime.num_processes))
    from server.command_line.training_run import train_and_publish

    train_and_publish(
        plan,
        folder,
        resume=runtime.resume,
        publish_to=runtime.publish,
        key=runtime.key,
        alias=runtime.alias,
    )


def _train_remotely(plan: "TrainPlan", runtime: RuntimeFlags, remote: RemoteFlags) -> None:
    from server.command_line.remote_training import train_remotely

    unused = [option for option in changed(runtime) if option not in {"--key", "--alias"}]
    train_remotely(
        plan,
        ServerFlags(remote.url, runtime.key or None),
        alias=runtime.alias,
        unused=unused,
        as_json=remote.as_json,
    )


def _flags_of_prefixes(runtime: RuntimeFlags, parts: Sequence["Part"]) -> list[str]:
    """Name the flags that were given, and that full fine-tuning does not support."""
    is_given = {
        "--resume": runtime.resume,
        "--publish": runtime.publish is not None,
        "--alias": runtime.alias is not None,
        "--num-processes": runtime.num_processes > 1,
        "--do-predict": bool(parts),
    }
    return [flag for flag, is_so in is_given.items() if is_so]


def _name(what: str | None, dataset: str | None, *, has_labels: bool) -> str:
    from training.errors import PlanRejected

    if what is not None:
        return what
    if dataset is None and has_labels:
        return _NAMELESS
    if dataset is None:
        raise PlanRejected(
            "There is nothing to train. Give TENANT/TASK, a plan, --labels, or --task and "
            "--dataset."
        )
    return f"local/{dataset.replace('/', '-')}"


def _output(name: str) -> Path:
    return _OUTPUT / (Path(name).stem if name.lower().endswith(".toml") else name)


def _warn(warnings: Iterable[str | None]) -> None:
    if os.environ.get("RANK", "0") == "0":  # once for all processes
        for warning in filter(None, warnings):
            typer.echo(warning, err=True)
