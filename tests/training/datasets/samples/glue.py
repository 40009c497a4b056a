"""GLUE's TSV of every task, with made-up rows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

GLUE: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "cola": ("", ("gj04\t1\t\tthe film is good", "gj04\t0\t*\tthe film good is")),
    "mnli": (
        (
            "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\t"
            "sentence1_parse\tsentence2_parse\tsentence1\tsentence2\tlabel1\tgold_label"
        ),
        tuple(
            f"{n}\t1\t1e\tfiction\t( a )\t( a )\t(X a)\t(X a)\tthe film is good\tit is {word}\t"
            f"{label}\t{label}"
            for n, (word, label) in enumerate(
                [("good", "entailment"), ("late", "neutral"), ("bad", "contradiction")]
            )
        ),
    ),
    "mrpc": (
        "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String",
        (
            '1\t7\t8\tthe film is good\t"the film" is great',
            "0\t9\t10\tthe film is good\tthe city is lost",
        ),
    ),
    "qnli": (
        "index\tquestion\tsentence\tlabel",
        (
            "0\twhat is good\tthe film is good\tentailment",
            "1\twho is good\tthe film is late\tnot_entailment",
        ),
    ),
    "qqp": (
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate",
        (
            "0\t1\t2\thow is it\thow is the film\t1",
            "1\t3\t4\twho is it\twhere is the city\t0",
        ),
    ),
    "rte": (
        "index\tsentence1\tsentence2\tlabel",
        (
            "0\tthe film is good\tit is good\tentailment",
            "1\tthe film is bad\tit is good\tnot_entailment",
        ),
    ),
    "sst2": ("sentence\tlabel", ("the film is good \t1", "a poor film \t0")),
    "stsb": (
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore",
        (
            "0\tmain\tx\t2012\t1\tnone\tnone\tthe film is good\tthe film is great\t4.200",
            "1\tmain\tx\t2012\t2\tnone\tnone\tthe film is good\tthe city is lost\t0.500",
        ),
    ),
    "wnli": (
        "index\tsentence1\tsentence2\tlabel",
        ("0\tthe card is in my book and it is lost\tthe card is lost\t1", "1\ta b\tb c\t0"),
    ),
}
"""The header and labeled lines of each task's TSV; CoLA's labeled files have no header."""


def write_glue(folder: Path, task: str) -> Path:
    """Write train and dev, in which the lines come up several times."""
    folder.mkdir(parents=True, exist_ok=True)
    header, lines = GLUE[task]
    dev = "dev_matched.tsv" if task == "mnli" else "dev.tsv"
    for name, times in (("train.tsv", 4), (dev, 2)):
        content = [header, *lines * times] if header else [*lines * times]
        (folder / name).write_text("".join(f"{line}\n" for line in content), encoding="utf-8")
    return folder
