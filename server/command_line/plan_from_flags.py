"""From the flags of `train` to a plan."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from server.command_line.ptuning_v2_flags import OriginalFlags
from server.command_line.ptuning_v2_settings import fitting, settings_of
from training.errors import PlanRejected
from training.settings.config import TrainConfig
from training.settings.former_names import with_current_names
from training.settings.plan import TrainPlan, check_plan, load_plan
from training.settings.sweep_plan import parse_space


def plan_of(what: str, flags: Mapping[str, Any], recipe: Mapping[str, Any]) -> TrainPlan:
    """Build the plan of a training: flags come before what a recipe or a plan file says."""
    original: OriginalFlags = flags["original"]
    of_plan = {name: recipe[name] for name in TrainPlan.model_fields if name in recipe}
    of_run = {name: value for name, value in recipe.items() if name not in of_plan}
    implied = settings_of(original, of_run, flags)
    # Where the test rows are predicted, they are measured with that, as far as they have labels.
    unused = {"test"} if original.do_predict else set()
    given = {x: flags[x] for x in TrainConfig.model_fields if x in flags and x not in unused}
    given |= _method(original, flags)
    for name in ("labels", "label_columns"):
        if name in given:
            given[name] = [label.strip() for label in given[name].split(",")]
    given |= _assignments(flags.get("set_", []))
    method = given.get("method", implied.get("method", "prefix"))
    run = {**fitting(implied, method), **given}
    fields = [name for name in TrainPlan.model_fields if name != "sweep"]
    shared = {**of_plan, **{name: flags[name] for name in fields if name in flags}}
    if what.lower().endswith(".toml"):
        if "sweep" in flags or "trials" in flags:
            raise PlanRejected("--sweep and --trials are for a single task: a plan has [sweep]")
        return load_plan(Path(what), plan=shared, run=run)
    runs = [{"task": what, **run}]
    return check_plan({**shared, **_sweep(flags), "runs": runs}, origin="the command line")


def _method(original: OriginalFlags, flags: Mapping[str, Any]) -> dict[str, str]:
    """Read the method that flags name, each in its way."""
    if original.prefix and flags["prompt"]:
        raise PlanRejected("--prefix and --prompt are two methods: leave out one of them")
    method = "prefix" if original.prefix else "prompt" if flags["prompt"] else None
    if method is not None and flags.get("method", method) != method:
        raise PlanRejected(f"--{method} and --method {flags['method']} contradict each other")
    return {} if method is None else {"method": method}


def _sweep(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Read what shall be searched, if anything."""
    if "sweep" not in flags:
        if "trials" in flags:
            raise PlanRejected("--trials belongs to a sweep: say with --sweep what to search")
        return {}
    try:
        space = dict(map(parse_space, flags["sweep"]))
    except ValueError as error:
        raise PlanRejected(str(error)) from error
    counts = {"trials": flags["trials"]} if "trials" in flags else {}
    return {"sweep": {"space": space, **counts}}


def _assignments(texts: Sequence[str]) -> dict[str, Any]:
    """Read `name=value` pairs; a value is written as in TOML, or is plain text."""
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise PlanRejected(f"--set {text!r}: expected NAME=VALUE")
        try:
            values[name] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            values[name] = value
    return with_current_names(values)
