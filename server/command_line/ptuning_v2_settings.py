"""Translates the flags of P-tuning v2's `run.py` into settings of a training and dataset parts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from server.command_line.ptuning_v2_flags import PtuningV2Flags
from server.command_line.row_sources import source_of
from training.datasets import Dataset, dataset_named
from training.errors import PlanRejected
from training.settings.defaults import METHOD_DEFAULTS, PREFIX_SETTINGS
from training.sources import Source

_DROPS_FEATURES: Final = {"sequence_classification", "multiple_choice", "token_classification"}
"""Task types with dropout before the output layer. Question answering has none there."""

_FOREIGN: Final[dict[str, set[str]]] = {
    "vectors": {*PREFIX_SETTINGS, "learning_rate"},
    "prompt": {"projection_size", "position_offset"},
    "head": set(PREFIX_SETTINGS),
    "full": {*PREFIX_SETTINGS, *METHOD_DEFAULTS["full"], "head_activation", "hidden_dropout"},
}
"""Settings in a recipe for prefixes that other methods lack, or need at a different scale."""

_PARTS: Final = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of a dataset to use a prefix on: the first `max_rows`, or all."""

    name: str
    source: Source
    dataset: str
    max_rows: int | None


def dataset_name(ptuning_v2: PtuningV2Flags, recipe: Mapping[str, Any]) -> str | None:
    """Return the dataset that flags or a recipe name, as FAMILY/NAME.

    Raises:
        PlanRejected: when only one of --task and --dataset is given.
    """
    if (ptuning_v2.family is None) != (ptuning_v2.dataset is None):
        raise PlanRejected(
            "--task and --dataset belong together. Give both, as in --task superglue --dataset rte."
        )
    if ptuning_v2.family is None:
        named = recipe.get("dataset")
        return None if named is None else str(named)
    return f"{ptuning_v2.family}/{ptuning_v2.dataset}".lower()


def settings_of(
    ptuning_v2: PtuningV2Flags, recipe: Mapping[str, Any], flags: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the fields of a `TrainConfig` that the flags of `run.py` and a recipe set.

    Args:
        ptuning_v2: the flags of `run.py`.
        recipe: the settings of the recipe.
        flags: our own flags, those that were given. They take precedence.

    Raises:
        PlanRejected: when flags contradict each other, or a file or dataset does not exist.
    """
    name = dataset_name(ptuning_v2, recipe)
    task_type = flags.get("task_type", "sequence_classification")
    settings = {**recipe, **_shape(ptuning_v2)}
    if name is None:
        if ptuning_v2.template_id is not None:
            raise PlanRejected("--template-id needs a dataset. Name it with --task and --dataset.")
        side_effects = _side_effects_of(flags) if recipe else {}
        return {**settings, **_dropout(ptuning_v2, task_type), **side_effects}
    dataset = dataset_named(name)
    sources = sources_of(ptuning_v2, dataset, flags)
    if ptuning_v2.data_dir is not None and "train" not in sources:
        expected = " or ".join(dataset.files["train"])
        raise PlanRejected(
            f"{ptuning_v2.data_dir} has no {expected}. Name the training file with --train-file."
        )
    files: dict[str, Any] = {
        part: sources[part] for part in ("train", "validation") if part in sources
    }
    settings |= {"dataset": name, **files, **_dropout(ptuning_v2, dataset.task_type)}
    if ptuning_v2.template_id is not None:
        settings |= dataset.template(ptuning_v2.template_id)
    if not (ptuning_v2.prefix or flags.get("prompt") or "method" in flags):
        settings = {"method": _unnamed_method(dataset), **settings}
    return {**settings, **_side_effects_of(flags)}


def fitting(settings: Mapping[str, Any], method: str | None) -> dict[str, Any]:
    """Leave out settings that a chosen method does not have. `run.py` ignores them too."""
    foreign = _FOREIGN.get(method or "", set())
    return {name: value for name, value in settings.items() if name not in foreign}


def _unnamed_method(dataset: Dataset) -> str:
    """Return the method that `run.py` uses with neither `--prefix` nor `--prompt`."""
    has_frozen = dataset.task_type in {"question_answering", "multiple_choice"}
    return "head" if has_frozen or dataset.name.startswith("ner/") else "full"


def _dropout(ptuning_v2: PtuningV2Flags, task_type: str) -> dict[str, float]:
    if ptuning_v2.hidden_dropout_prob is None:
        return {}
    features = ["feature_dropout"] if task_type in _DROPS_FEATURES else []
    places = ["prefix_dropout", "hidden_dropout", *features]
    return dict.fromkeys(places, ptuning_v2.hidden_dropout_prob)


def _shape(ptuning_v2: PtuningV2Flags) -> dict[str, Any]:
    """Return the settings that do not depend on the dataset."""
    given: dict[str, Any] = {
        "max_validation_rows": ptuning_v2.max_eval_samples,
        "max_test_rows": ptuning_v2.max_predict_samples,
        "max_answer_tokens": ptuning_v2.max_answer_length,
        "null_threshold": ptuning_v2.null_score_diff_threshold,
        "prefix_length": ptuning_v2.pre_seq_len,
    }
    if ptuning_v2.prefix_projection:
        given["projection_size"] = ptuning_v2.prefix_hidden_size
    return {name: value for name, value in given.items() if value is not None}


def parts_of(ptuning_v2: PtuningV2Flags, name: str | None, flags: Mapping[str, Any]) -> list[Part]:
    """List the dataset parts that --do-eval (without training) and --do-predict use.

    Raises:
        PlanRejected: when the dataset does not exist, or lacks such rows.
    """
    measures = ptuning_v2.do_eval and not ptuning_v2.trains
    if not measures and not ptuning_v2.do_predict:
        return []
    if name is None:
        raise PlanRejected(
            "--do-eval and --do-predict need a dataset. Name it with --task and --dataset, or run "
            "`polyprefix evaluate` and `polyprefix predict` on other rows."
        )
    dataset = dataset_named(name)
    sources = sources_of(ptuning_v2, dataset, flags)
    needed = [("validation", ptuning_v2.max_eval_samples)] if measures else []
    if ptuning_v2.do_predict:
        # A file that --test-file names replaces all test parts of the dataset.
        tests = [part for part in dataset.tests if part in sources] or ["test"]
        needed += [(part, ptuning_v2.max_predict_samples) for part in tests]
    missing = [part for part, _ in needed if part not in sources]
    if missing:
        raise PlanRejected(
            f"{name} has no {missing[0]} rows here. Name a file with --{missing[0]}-file."
        )
    return [Part(part, source_of(sources[part]), name, bound) for part, bound in needed]


def sources_of(
    ptuning_v2: PtuningV2Flags, dataset: Dataset, flags: Mapping[str, Any]
) -> dict[str, str]:
    """Find the parts of a dataset: files that flags name, those of a folder, or those on the hub.

    Raises:
        PlanRejected: when the folder has none, or the dataset is not on the hub.
    """
    named = {part: str(flags[part]) for part in _PARTS if part in flags}
    if ptuning_v2.data_dir is not None:
        found = dataset.local_files(ptuning_v2.data_dir)
    else:
        found = {} if named else dataset.hub_sources()
    if "test" in named:
        found = {part: source for part, source in found.items() if part not in dataset.tests}
    return {**found, **named}


def _side_effects_of(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the other settings that `--learning-rate` and `--epochs` change in `run.py`.

    They set the learning rate of the head, too, and remove the minimum number of steps.
    """
    settings = {}
    if "learning_rate" in flags:
        settings["head_learning_rate"] = flags["learning_rate"]
    if "epochs" in flags:
        settings["min_steps"] = 1
    return settings
