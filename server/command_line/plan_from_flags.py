"""Builds the plan of a training from the flags of `train`."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from server.command_line.label_names import label_settings
from server.command_line.ptuning_v2_flags import PtuningV2Flags
from server.command_line.ptuning_v2_settings import fitting, settings_of
from training.errors import PlanRejected
from training.settings.config import TrainConfig
from training.settings.former_names import with_current_names
from training.settings.plan import TrainPlan, check_plan, load_plan
from training.settings.sweep_plan import parse_space


def plan_of(
    what: str, flags: Mapping[str, Any], recipe: Mapping[str, Any], ptuning_v2: PtuningV2Flags
) -> TrainPlan:
    """Build a plan. Flags take precedence over a recipe and over a plan file.

    Args:
        what: `TENANT/TASK`, or the path of a plan file.
        flags: our own flags, those that were given.
        recipe: the settings of the recipe, if any.
        ptuning_v2: the flags of `run.py`.

    Raises:
        PlanRejected: when flags contradict each other, or the plan is invalid.
    """
    of_plan = {name: recipe[name] for name in TrainPlan.model_fields if name in recipe}
    of_run = {name: value for name, value in recipe.items() if name not in of_plan}
    run = _run(flags, settings_of(ptuning_v2, of_run, flags), ptuning_v2)
    fields = [name for name in TrainPlan.model_fields if name != "sweep"]
    shared = {**of_plan, **{name: flags[name] for name in fields if name in flags}}
    if what.lower().endswith(".toml"):
        if "sweep" in flags or "trials" in flags:
            raise PlanRejected(
                "--sweep and --trials apply to a single task. Put a [sweep] table into the plan."
            )
        return load_plan(Path(what), plan=shared, run=run)
    runs = [{"task": what, **run}]
    return check_plan({**shared, **_sweep(flags), "runs": runs}, origin="the command line")


def _run(
    flags: Mapping[str, Any], implied: Mapping[str, Any], ptuning_v2: PtuningV2Flags
) -> dict[str, Any]:
    """Merge the settings of a run: those implied by a recipe or `run.py` flags, then our flags."""
    # --do-predict measures the test rows as it predicts them, so the training itself does not.
    unused = {"test"} if ptuning_v2.do_predict else set()
    given = {x: flags[x] for x in TrainConfig.model_fields if x in flags and x not in unused}
    given |= _method(ptuning_v2, flags)
    if "labels" in given:
        given |= label_settings(given["labels"])
    if "label_columns" in given:
        given["label_columns"] = [name.strip() for name in given["label_columns"].split(",")]
    given |= _assignments(flags.get("set_", []))
    method = given.get("method", implied.get("method"))
    return {**fitting(implied, method), **given}


def _method(ptuning_v2: PtuningV2Flags, flags: Mapping[str, Any]) -> dict[str, str]:
    """Return the method that --prefix, --prompt or --method selects."""
    if ptuning_v2.prefix and flags["prompt"]:
        raise PlanRejected("--prefix and --prompt select different methods. Give only one of them.")
    method = "prefix" if ptuning_v2.prefix else "prompt" if flags["prompt"] else None
    if method is not None and flags.get("method", method) != method:
        raise PlanRejected(
            f"--{method} and --method {flags['method']} contradict each other. Give only one of "
            "them."
        )
    return {} if method is None else {"method": method}


def _sweep(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sweep that the flags describe, if any."""
    if "sweep" not in flags:
        if "trials" in flags:
            raise PlanRejected("--trials needs a sweep. Name a field to search with --sweep.")
        return {}
    try:
        space = dict(map(parse_space, flags["sweep"]))
    except ValueError as error:
        raise PlanRejected(str(error)) from error
    counts = {"trials": flags["trials"]} if "trials" in flags else {}
    return {"sweep": {"space": space, **counts}}


def _assignments(texts: Sequence[str]) -> dict[str, Any]:
    """Parse `name=value` pairs. A value that is not valid TOML is plain text."""
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise PlanRejected(f"Invalid --set {text!r}: expected NAME=VALUE.")
        try:
            values[name] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            values[name] = value
    return with_current_names(values)
