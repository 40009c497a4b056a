"""The input templates of the original P-tuning v2 by data set.

Source: THUDM/P-tuning-v2, `tasks/glue/dataset.py` and `tasks/superglue/dataset.py`. Data sets whose
texts depend on more than the fields are omitted: COPA (its connective), WiC and WSC.
"""

from typing import Final

from prefixes.spec import TaskType
from prefixes.template import InputTemplate


def _pair(text: str, text_pair: str) -> InputTemplate:
    return InputTemplate(text=f"{{{text}}}", text_pair=f"{{{text_pair}}}")


_SEQUENCE: Final[TaskType] = "sequence_classification"

TEMPLATES_OF: Final[dict[tuple[str, TaskType], InputTemplate]] = {
    ("boolq", _SEQUENCE): _pair("question", "passage"),
    ("cb", _SEQUENCE): _pair("premise", "hypothesis"),
    ("cola", _SEQUENCE): InputTemplate(text="{sentence}"),
    ("mnli", _SEQUENCE): _pair("premise", "hypothesis"),
    ("mrpc", _SEQUENCE): _pair("sentence1", "sentence2"),
    ("multirc", _SEQUENCE): InputTemplate(text="{paragraph}", text_pair="{question} {answer}"),
    ("qnli", _SEQUENCE): _pair("question", "sentence"),
    ("qqp", _SEQUENCE): _pair("question1", "question2"),
    ("sst2", _SEQUENCE): InputTemplate(text="{sentence}"),
    ("stsb", _SEQUENCE): _pair("sentence1", "sentence2"),
    ("wnli", _SEQUENCE): _pair("sentence1", "sentence2"),
}
"""By the config's `finetuning_task`. RTE is omitted: its fields have different names in GLUE and
SuperGLUE."""
