"""The flags of the original's `run.py`, and what each of them means here."""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, get_type_hints

import typer

from training.datasets import Dataset, dataset_named
from training.errors import PlanRejected
from training.sources import Source, parse_source

UNDERSCORES: Final[dict[str, Any]] = {
    "token_normalize_func": lambda name: name.replace("_", "-"),
}
"""Settings of a command whose flags are understood with underscores as well: `--pre_seq_len`."""

_DROPS_FEATURES: Final = {"sequence_classification", "multiple_choice", "token_classification"}
"""Question answering drops nothing before its output layer."""

_PARTS: Final = ("train", "validation", "test")


def _flag(text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel="P-tuning v2", **more)


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of a set to use a prefix on, the first of them where there is a bound."""

    name: str
    source: Source
    dataset: str
    most: int | None


@dataclass(frozen=True, slots=True)
class OriginalFlags:
    """What `run.py` takes beside what has an equal among our own flags."""

    family: Annotated[
        str | None,
        _flag("superglue, glue, ner, srl or qa.", "--task", "--task-name"),
    ] = None
    dataset: Annotated[
        str | None, _flag("rte, cola, conll2003, squad_v2, ...", "--dataset", "--dataset-name")
    ] = None
    recipe: Annotated[str | None, _flag("A script of the original: see `polyprefix recipes`.")] = (
        None
    )
    data_dir: Annotated[
        Path | None, _flag("Folder of the set's files; without it they come from the hub.")
    ] = None
    prefix: Annotated[bool, _flag("Keys and values in every layer.", "--prefix")] = False
    prefix_projection: Annotated[bool, _flag("Make them with an MLP.", "--prefix-projection")] = (
        False
    )
    prefix_hidden_size: Annotated[int, _flag("Width of the MLP.")] = 512
    hidden_dropout_prob: Annotated[
        float | None, _flag("Of the prefix and of what the head sees.")
    ] = None
    template_id: Annotated[int | None, _flag("How wic and wsc become texts: 0 or 1.")] = None
    max_eval_samples: Annotated[int | None, _flag("Validate on a sample this large.")] = None
    max_predict_samples: Annotated[int | None, _flag("Test on a sample this large.")] = None
    n_best_size: Annotated[int, _flag("Answers to write of each question.", min=1, max=20)] = 20
    max_answer_length: Annotated[int | None, _flag("Tokens of an answer, at most.")] = None
    null_score_diff_threshold: Annotated[
        float | None, _flag("How much better than the best answer none must score.")
    ] = None
    do_train: Annotated[bool, _flag("Train: the default.", "--do-train")] = False
    do_eval: Annotated[bool, _flag("Measure the validation rows.", "--do-eval")] = False
    do_predict: Annotated[bool, _flag("Write predictions of the test rows.", "--do-predict")] = (
        False
    )

    @property
    def trains(self) -> bool:
        """Whether to train: unless something else was asked for alone."""
        return self.do_train or not (self.do_eval or self.do_predict)

    def dataset_of(self, recipe: Mapping[str, Any]) -> str | None:
        """Name the set that is meant, as FAMILY/NAME, by flags or by a recipe.

        Raises:
            PlanRejected: when only half of its name is given.
        """
        if (self.family is None) != (self.dataset is None):
            raise PlanRejected(
                "--task and --dataset belong together, as --task superglue --dataset rte"
            )
        if self.family is None:
            named = recipe.get("dataset")
            return None if named is None else str(named)
        return f"{self.family}/{self.dataset}".lower()

    def settings(self, recipe: Mapping[str, Any], flags: Mapping[str, Any]) -> dict[str, Any]:
        """Give what the flags and a recipe set of a `TrainConfig`.

        Args:
            recipe: what the recipe sets.
            flags: our own flags, as far as they were given; they come before all else.

        Raises:
            PlanRejected: when flags contradict each other, or name what is not there.
        """
        if self.prefix and flags.get("prompt"):
            raise PlanRejected("--prefix and --prompt are two methods: leave out one of them")
        name = self.dataset_of(recipe)
        task_type = flags.get("task_type", "sequence_classification")
        settings = {**recipe, **self._shape()}
        if name is None:
            if self.template_id is not None:
                raise PlanRejected("--template-id is of a set that --task and --dataset name")
            single = _single(flags) if recipe else {}
            return {**settings, **self._dropout(task_type), **single}
        dataset = dataset_named(name)
        sources = self.sources(dataset, flags)
        if self.data_dir is not None and "train" not in sources:
            expected = " or ".join(dataset.files["train"])
            raise PlanRejected(f"{self.data_dir} has no {expected}: name it with --train-file")
        files: dict[str, Any] = {
            part: sources[part] for part in ("train", "validation") if part in sources
        }
        settings |= {"dataset": name, **files, **self._dropout(dataset.task_type)}
        if self.template_id is not None:
            settings |= dataset.template(self.template_id)
        methods = [one for one in flags.get("set_", ()) if one.startswith("method=")]
        if not ("method" in settings or "method" in flags or flags.get("prompt") or methods):
            raise PlanRejected(
                "Neither --prefix nor --prompt: say which of them is to be trained, or --method "
                "head for a head alone on the frozen backbone"
            )
        return {**settings, **_single(flags)}

    def _dropout(self, task_type: str) -> dict[str, float]:
        if self.hidden_dropout_prob is None:
            return {}
        places = ["prefix_dropout", *(["feature_dropout"] if task_type in _DROPS_FEATURES else [])]
        return dict.fromkeys(places, self.hidden_dropout_prob)

    def _shape(self) -> dict[str, Any]:
        """Give what flags set whatever the set is."""
        given: dict[str, Any] = {
            "max_validation_rows": self.max_eval_samples,
            "max_test_rows": self.max_predict_samples,
            "max_answer_tokens": self.max_answer_length,
            "null_threshold": self.null_score_diff_threshold,
        }
        if self.prefix:
            given["method"] = "prefix"
        if self.prefix_projection:
            given["projection_size"] = self.prefix_hidden_size
        return {name: value for name, value in given.items() if value is not None}

    def parts(self, name: str | None, flags: Mapping[str, Any]) -> list[Part]:
        """List the rows that a finished prefix is used on: to be measured alone, or predicted.

        Raises:
            PlanRejected: when there is no set of this name, or it lacks such rows.
        """
        measures = self.do_eval and not self.trains
        if not measures and not self.do_predict:
            return []
        if name is None:
            raise PlanRejected(
                "--do-eval and --do-predict are for a set that --task and --dataset name: use "
                "`polyprefix evaluate` and `polyprefix predict` for any other rows"
            )
        dataset = dataset_named(name)
        sources = self.sources(dataset, flags)
        wanted = [("validation", self.max_eval_samples)] if measures else []
        if self.do_predict:
            # A file that --test-file names stands for all test parts that a set may have.
            tests = [part for part in dataset.tests if part in sources] or ["test"]
            wanted += [(part, self.max_predict_samples) for part in tests]
        missing = [part for part, _ in wanted if part not in sources]
        if missing:
            raise PlanRejected(f"{name} has no {missing[0]} rows here: name a file of them")
        return [Part(part, parse_source(sources[part]), name, most) for part, most in wanted]

    def sources(self, dataset: Dataset, flags: Mapping[str, Any]) -> dict[str, str]:
        """Find the parts of a set: files that flags name, those of a folder, or those on the hub.

        Raises:
            PlanRejected: when the folder has none, or the set does not lie on the hub.
        """
        named = {part: str(flags[part]) for part in _PARTS if part in flags}
        if self.data_dir is not None:
            found = dataset.local_files(self.data_dir)
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


def takes_original_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these flags too; they reach it as one value, its argument `original`."""
    own = inspect.signature(command)
    added = inspect.signature(OriginalFlags)
    names = list(added.parameters)

    @functools.wraps(command)
    def taking(**values: Any) -> None:
        original = OriginalFlags(**{name: values.pop(name) for name in names})
        command(**values, original=original)

    parameters = [one for name, one in own.parameters.items() if name != "original"]
    keywords = [
        one.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for one in (*parameters, *added.parameters.values())
    ]
    taking.__signature__ = own.replace(parameters=keywords)  # type: ignore[attr-defined]  # inspect's own protocol
    hints = {
        **get_type_hints(command, include_extras=True),
        **get_type_hints(OriginalFlags, include_extras=True),
    }
    taking.__annotations__ = {name: hints[name] for name in hints if name != "original"}
    return taking
