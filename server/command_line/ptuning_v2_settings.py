"""What the flags of the original's `run.py` mean here: settings of a training, parts of a set."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from server.command_line.ptuning_v2_flags import OriginalFlags
from training.datasets import Dataset, dataset_named
from training.errors import PlanRejected
from training.settings.defaults import METHOD_DEFAULTS
from training.sources import Source, parse_source

_DROPS_FEATURES: Final = {"sequence_classification", "multiple_choice", "token_classification"}
"""Question answering drops nothing before its output layer."""

_OF_PREFIXES: Final = {
    "prefix_length",
    "projection_size",
    "position_offset",
    "initialization",
    "prefix_dropout",
}
_FOREIGN: Final = {
    "prompt": {"projection_size", "position_offset"},
    "head": _OF_PREFIXES,
    "full": {*_OF_PREFIXES, *METHOD_DEFAULTS["full"], "head_activation"},
}
"""Settings of a recipe for prefixes that other methods have none of, or of quite another size."""

_PARTS: Final = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of a set to use a prefix on, the first of them where there is a bound."""

    name: str
    source: Source
    dataset: str
    most: int | None


def settings_of(
    original: OriginalFlags, recipe: Mapping[str, Any], flags: Mapping[str, Any]
) -> dict[str, Any]:
    """Give what the original's flags and a recipe set of a `TrainConfig`.

    Args:
        original: the original's flags.
        recipe: what the recipe sets.
        flags: our own flags, as far as they were given; they come before all else.

    Raises:
        PlanRejected: when flags contradict each other, or name what is not there.
    """
    name = original.dataset_of(recipe)
    task_type = flags.get("task_type", "sequence_classification")
    settings = {**recipe, **_shape(original)}
    if name is None:
        if original.template_id is not None:
            raise PlanRejected("--template-id is of a set that --task and --dataset name")
        single = _single(flags) if recipe else {}
        return {**settings, **_dropout(original, task_type), **single}
    dataset = dataset_named(name)
    sources = sources_of(original, dataset, flags)
    if original.data_dir is not None and "train" not in sources:
        expected = " or ".join(dataset.files["train"])
        raise PlanRejected(f"{original.data_dir} has no {expected}: name it with --train-file")
    files: dict[str, Any] = {
        part: sources[part] for part in ("train", "validation") if part in sources
    }
    settings |= {"dataset": name, **files, **_dropout(original, dataset.task_type)}
    if original.template_id is not None:
        settings |= dataset.template(original.template_id)
    if not (original.prefix or flags.get("prompt") or "method" in flags):
        settings = {"method": _unnamed_method(dataset), **settings}
    return {**settings, **_single(flags)}


def fitting(settings: Mapping[str, Any], method: str) -> dict[str, Any]:
    """Leave out what a method has no use for, as the original ignores it."""
    foreign = _FOREIGN.get(method, set())
    return {name: value for name, value in settings.items() if name not in foreign}


def _unnamed_method(dataset: Dataset) -> str:
    """Say what the original trains with neither `--prefix` nor `--prompt`."""
    has_frozen = dataset.task_type in {"question_answering", "multiple_choice"}
    return "head" if has_frozen or dataset.name.startswith("ner/") else "full"


def _dropout(original: OriginalFlags, task_type: str) -> dict[str, float]:
    if original.hidden_dropout_prob is None:
        return {}
    places = ["prefix_dropout", *(["feature_dropout"] if task_type in _DROPS_FEATURES else [])]
    return dict.fromkeys(places, original.hidden_dropout_prob)


def _shape(original: OriginalFlags) -> dict[str, Any]:
    """Give what flags set whatever the set is."""
    given: dict[str, Any] = {
        "max_validation_rows": original.max_eval_samples,
        "max_test_rows": original.max_predict_samples,
        "max_answer_tokens": original.max_answer_length,
        "null_threshold": original.null_score_diff_threshold,
        "prefix_length": original.pre_seq_len,
    }
    if original.prefix_projection:
        given["projection_size"] = original.prefix_hidden_size
    return {name: value for name, value in given.items() if value is not None}


def parts_of(original: OriginalFlags, name: str | None, flags: Mapping[str, Any]) -> list[Part]:
    """List the rows that a finished prefix is used on: to be measured alone, or predicted.

    Raises:
        PlanRejected: when there is no set of this name, or it lacks such rows.
    """
    measures = original.do_eval and not original.trains
    if not measures and not original.do_predict:
        return []
    if name is None:
        raise PlanRejected(
            "--do-eval and --do-predict are for a set that --task and --dataset name: use "
            "`polyprefix evaluate` and `polyprefix predict` for any other rows"
        )
    dataset = dataset_named(name)
    sources = sources_of(original, dataset, flags)
    wanted = [("validation", original.max_eval_samples)] if measures else []
    if original.do_predict:
        # A file that --test-file names stands for all test parts that a set may have.
        tests = [part for part in dataset.tests if part in sources] or ["test"]
        wanted += [(part, original.max_predict_samples) for part in tests]
    missing = [part for part, _ in wanted if part not in sources]
    if missing:
        raise PlanRejected(f"{name} has no {missing[0]} rows here: name a file of them")
    return [Part(part, parse_source(sources[part]), name, most) for part, most in wanted]


def sources_of(
    original: OriginalFlags, dataset: Dataset, flags: Mapping[str, Any]
) -> dict[str, str]:
    """Find the parts of a set: files that flags name, those of a folder, or those on the hub.

    Raises:
        PlanRejected: when the folder has none, or the set does not lie on the hub.
    """
    named = {part: str(flags[part]) for part in _PARTS if part in flags}
    if original.data_dir is not None:
        found = dataset.local_files(original.data_dir)
    else:
        found = {} if named else dataset.hub_sources()
    if "test" in named:
        found = {part: source for part, source in found.items() if part not in dataset.tests}
    return {**found, **named}


def _single(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Read the flags that are ours as well as in the original, where they mean more."""
    settings = {}
    if "learning_rate" in flags:
        settings["head_learning_rate"] = flags["learning_rate"]
    if "epochs" in flags:
        settings["min_steps"] = 1
    return settings
