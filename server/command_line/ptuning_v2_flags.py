"""The flags of P-tuning v2's `run.py`; `ptuning_v2_settings` translates them into ours."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer


def _flag(text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel="P-tuning v2", **more)


@dataclass(frozen=True, slots=True)
class PtuningV2Flags:
    """Flags of `run.py` that have no equivalent among our own flags."""

    family: Annotated[
        str | None,
        _flag("superglue, glue, ner, srl or qa.", "--task", "--task-name"),
    ] = None
    dataset: Annotated[
        str | None, _flag("rte, cola, conll2003, squad_v2, ...", "--dataset", "--dataset-name")
    ] = None
    recipe: Annotated[
        str | None, _flag("Settings of a script of P-tuning v2. See `polyprefix recipes`.")
    ] = None
    data_dir: Annotated[
        Path | None, _flag("Folder of the dataset's files.", show_default="download from the hub")
    ] = None
    prefix: Annotated[bool, _flag("Train keys and values in every layer.", "--prefix")] = False
    pre_seq_len: Annotated[
        int | None, _flag("Same as --prefix-length, for a prefix or a prompt.")
    ] = None
    prefix_projection: Annotated[
        bool, _flag("Make the keys and values with an MLP.", "--prefix-projection")
    ] = False
    prefix_hidden_size: Annotated[int, _flag("Width of the MLP.")] = 512
    hidden_dropout_prob: Annotated[
        float | None, _flag("Dropout of the prefix, of the backbone and of the head's input.")
    ] = None
    template_id: Annotated[int | None, _flag("Template of wic and wsc: 0 or 1.")] = None
    max_eval_samples: Annotated[int | None, _flag("Validate on a sample of this many rows.")] = None
    max_predict_samples: Annotated[int | None, _flag("Test on a sample of this many rows.")] = None
    n_best_size: Annotated[
        int, _flag("Number of answers to write per question.", min=1, max=20)
    ] = 20
    max_answer_length: Annotated[int | None, _flag("Maximum number of tokens per answer.")] = None
    null_score_diff_threshold: Annotated[
        float | None, _flag('Margin by which "no answer" must beat the best answer.')
    ] = None
    fp16: Annotated[
        bool, _flag("Same as --dtype bfloat16: training does not run in float16.", "--fp16")
    ] = False
    bf16: Annotated[bool, _flag("Same as --dtype bfloat16.", "--bf16")] = False
    no_cuda: Annotated[bool, _flag("Same as --device cpu.", "--no-cuda")] = False
    do_train: Annotated[bool, _flag("Train. This is the default.", "--do-train")] = False
    do_eval: Annotated[bool, _flag("Measure the validation rows.", "--do-eval")] = False
    do_predict: Annotated[bool, _flag("Write predictions for the test rows.", "--do-predict")] = (
        False
    )

    @property
    def runtime(self) -> dict[str, str]:
        """The settings of ours that these flags imply for device and number type."""
        dtype = {"dtype": "bfloat16"} if self.fp16 or self.bf16 else {}
        return {**dtype, **({"device": "cpu"} if self.no_cuda else {})}

    @property
    def trains(self) -> bool:
        """Whether to train: always, unless only --do-eval or --do-predict is given."""
        return self.do_train or not (self.do_eval or self.do_predict)

    @property
    def warning(self) -> str | None:
        """Name the flag that does something other than in `run.py`, if it was given."""
        return (
            "--fp16 trains in bfloat16: prefixes are not trained in float16" if self.fp16 else None
        )
