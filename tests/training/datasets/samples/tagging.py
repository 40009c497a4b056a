"""CoNLL's columns and lines, with made-up sentences."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final


def conll03(*, is_last_blank: bool) -> str:
    """Two sentences after a document's beginning; the last may end without a blank line."""
    text = (
        "-DOCSTART- -X- -X- O\n\n"
        "my JJ B-NP O\nriver NNP I-NP B-LOC\ncity NNP I-NP I-LOC\n\n"
        "hello NNP B-NP B-PER\nis VBZ B-VP O\nlate JJ B-ADJP O\n"
    )
    return text + "\n\n" if is_last_blank else text


CONLL04: Final = "river\tB-Loc\ncity\tI-Loc\nis\tO\n\nhello\tB-Peop\nwin\tB-Org\n"
ONTONOTES: Final = (
    "1\triver\t_\tNN\tB-GPE\n2\tcity\t_\tNN\tI-GPE\n3\tis\t_\tVB\tO\n\n"
    "1\tmany\t_\tJJ\tB-CARDINAL\n2\tcall\t_\tVB\tO\n"
)
SRL: Final = (
    "1 hello call the train now ||| B-A0 B-V B-A1 I-A1 B-AM-TMP\n"
    "4 call the city and call my book ||| O O O O B-V B-A1 I-A1\n"
)


def write_tagging(folder: Path, name: str) -> Path:
    """Write all parts of a set of tags under their original names."""
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, tuple[Iterable[str], str]] = {
        "conll2003": (("train.txt", "valid.txt", "test.txt"), conll03(is_last_blank=True)),
        "conll2004": (("train.txt", "dev.txt", "test.txt"), CONLL04),
        "ontonotes": ([f"{part}.sd.conllx" for part in ("train", "dev", "test")], ONTONOTES),
        "conll2005": (
            [f"conll05.{part}.txt" for part in ("train", "devel", "test.wsj", "test.brown")],
            SRL,
        ),
        "conll2012": ([f"conll2012.{part}.txt" for part in ("train", "devel", "test")], SRL),
    }
    names, content = files[name]
    for file in names:
        # Four times the sentences, so that there is something to learn from.
        between = "" if name in {"conll2005", "conll2012"} else "\n"
        (folder / file).write_text(between.join([content] * 4), encoding="utf-8")
    return folder
