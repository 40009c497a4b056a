"""The flags of the original's `run.py`; what they mean here is in `command_line.original`."""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, get_type_hints

import typer

from server.command_line import ptuning_v2_ignored
from training.errors import PlanRejected

UNDERSCORES: Final[dict[str, Any]] = {
    "token_normalize_func": lambda name: name.replace("_", "-"),
}
"""Settings of a command whose flags are understood with underscores as well: `--pre_seq_len`."""


def _flag(text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel="P-tuning v2", **more)


@dataclass(frozen=True, slots=True)
class OriginalFlags:
    """What `run.py` takes beside what has an equal among our own flags.

    `remarks` tell of flags that do less here, or something else.
    """

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
    pre_seq_len: Annotated[int | None, _flag("--prefix-length, of a prefix or a prompt.")] = None
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
    fp16: Annotated[
        bool, _flag("As --dtype bfloat16: half precision is not to be had.", "--fp16")
    ] = False
    bf16: Annotated[bool, _flag("As --dtype bfloat16.", "--bf16")] = False
    no_cuda: Annotated[bool, _flag("As --device cpu.", "--no-cuda")] = False
    do_train: Annotated[bool, _flag("Train: the default.", "--do-train")] = False
    do_eval: Annotated[bool, _flag("Measure the validation rows.", "--do-eval")] = False
    do_predict: Annotated[bool, _flag("Write predictions of the test rows.", "--do-predict")] = (
        False
    )
    remarks: tuple[str, ...] = ()

    @property
    def place(self) -> dict[str, str]:
        """Where and how to compute, in our own words."""
        dtype = {"dtype": "bfloat16"} if self.fp16 or self.bf16 else {}
        return {**dtype, **({"device": "cpu"} if self.no_cuda else {})}

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


def takes_original_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these flags too; they reach it as one value, its argument `original`."""
    own = inspect.signature(command)
    added = dict(inspect.signature(OriginalFlags).parameters)
    del added["remarks"]
    unused = ptuning_v2_ignored.parameters()

    @functools.wraps(command)
    def taking(**values: Any) -> None:
        passed_over = {one.name: values.pop(one.name) for one in unused}
        flags = {name: values.pop(name) for name in added}
        remarks = tuple(_remarks(passed_over, flags))
        command(**values, original=OriginalFlags(**flags, remarks=remarks))

    parameters = [one for name, one in own.parameters.items() if name != "original"]
    keywords = [
        one.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for one in (*parameters, *added.values(), *unused)
    ]
    taking.__signature__ = own.replace(parameters=keywords)  # type: ignore[attr-defined]  # inspect's own protocol
    hints = {
        **get_type_hints(command, include_extras=True),
        **get_type_hints(OriginalFlags, include_extras=True),
        **{one.name: one.annotation for one in unused},
    }
    taking.__annotations__ = {
        name: hints[name] for name in hints if name not in {"original", "remarks"}
    }
    return taking


def _remarks(passed_over: Mapping[str, Any], flags: Mapping[str, Any]) -> Iterator[str]:
    remark = ptuning_v2_ignored.remark(passed_over)
    if remark is not None:
        yield remark
    if flags["fp16"]:
        yield "--fp16: it computes in bfloat16, for prefixes are not trained in half precision"
