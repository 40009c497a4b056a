"""Small sets in the official formats: made-up rows that say of a noun whether it is good."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from tests.training.tasks import NOUNS, write_jsonl

_SIZES: Final = {"train": 12, "validation": 6, "test": 4}
_NAMES: Final = {"train": "train", "validation": "val", "test": "test"}


def _facts(count: int) -> list[tuple[int, str, str]]:
    return [(n, NOUNS[n % len(NOUNS)], ("bad", "good")[n % 2]) for n in range(count)]


def _boolq(n: int, noun: str, word: str) -> dict[str, Any]:
    passage = f"the {noun} is {word}"
    return {
        "question": f"is the {noun} good",
        "passage": passage,
        "idx": n,
        "label": word == "good",
    }


def _cb(n: int, noun: str, word: str) -> dict[str, Any]:
    label = ("entailment", "contradiction", "neutral")[n % 3]
    premise = f"the {noun} is {word}"
    return {"premise": premise, "hypothesis": f"the {noun} is good", "label": label, "idx": n}


def _rte(n: int, noun: str, word: str) -> dict[str, Any]:
    label = "entailment" if word == "good" else "not_entailment"
    premise = f"the {noun} is {word}"
    return {"premise": premise, "hypothesis": f"the {noun} is good", "label": label, "idx": n}


def _wic(n: int, noun: str, word: str) -> dict[str, Any]:
    first, second = f"the {noun} is good", f"my {noun} is {word}"
    places = {"start1": 4, "end1": 4 + len(noun), "start2": 3, "end2": 3 + len(noun), "version": 1}
    texts = {"word": noun, "sentence1": first, "sentence2": second}
    return {**texts, "idx": n, "label": word == "good", **places}


def _wsc(n: int, noun: str, word: str) -> dict[str, Any]:
    text = f"the {noun} lost my card and it is {word}"
    target = {"span1_index": 1, "span1_text": noun, "span2_index": 6, "span2_text": "it"}
    return {"idx": n, "label": word == "good", "target": target, "text": text}


def _copa(n: int, noun: str, word: str) -> dict[str, Any]:
    return {
        "premise": f"the {noun} is {word}",
        "choice1": "it is poor",
        "choice2": "it is great",
        "question": "effect" if n % 3 else "cause",
        "label": int(word == "good"),
        "idx": n,
    }


def _multirc(n: int, noun: str, word: str) -> dict[str, Any]:
    answers = [
        {"text": "good", "idx": 2 * n, "label": int(word == "good")},
        {"text": "bad", "idx": 2 * n + 1, "label": int(word == "bad")},
    ]
    question = {"question": f"how is the {noun}", "answers": answers, "idx": n}
    passage = {"text": f"the {noun} is {word}", "questions": [question]}
    return {"version": 1.1, "idx": n, "passage": passage}


def _record(n: int, noun: str, word: str) -> dict[str, Any]:
    text = f"the {noun} is {word}\n@highlight\nthe money is not"
    start, money = 4, text.index("money")
    passage = {
        "text": text,
        "entities": [
            {"start": start, "end": start + len(noun) - 1},
            {"start": money, "end": money + len("money") - 1},
        ],
    }
    right = noun if word == "good" else "money"
    place = start if word == "good" else money
    answers = [{"start": place, "end": place + len(right) - 1, "text": right}]
    query = {"query": f"what is {word} is the @placeholder", "answers": answers, "idx": n}
    return {"source": "made up", "passage": passage, "qas": [query], "idx": n}


Make = Callable[[int, str, str], dict[str, Any]]

SUPERGLUE: Final[Mapping[str, Make]] = {
    "boolq": _boolq,
    "cb": _cb,
    "rte": _rte,
    "wic": _wic,
    "wsc": _wsc,
    "copa": _copa,
    "multirc": _multirc,
    "record": _record,
}
"""What makes a labelled row of each task, as its official JSONL has it."""


def unlabelled(value: Any) -> Any:
    """Take away what test files do not tell: labels, and the answers of a query."""
    if isinstance(value, list):
        return [unlabelled(one) for one in value]
    if not isinstance(value, dict):
        return value
    hidden = {"label", "answers"} if "query" in value else {"label"}
    return {name: unlabelled(one) for name, one in value.items() if name not in hidden}


def write_superglue(folder: Path, task: str) -> Path:
    """Write train, val and test, the last without labels."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, size in _SIZES.items():
        rows = [SUPERGLUE[task](*fact) for fact in _facts(size)]
        if part == "test":
            rows = [unlabelled(row) for row in rows]
        write_jsonl(folder / f"{_NAMES[part]}.jsonl", rows)
    return folder


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
"""The header and labelled lines of each task's TSV; CoLA's labelled files have no header."""


def write_glue(folder: Path, task: str) -> Path:
    """Write train and dev, in which the lines come up several times."""
    folder.mkdir(parents=True, exist_ok=True)
    header, lines = GLUE[task]
    dev = "dev_matched.tsv" if task == "mnli" else "dev.tsv"
    for name, times in (("train.tsv", 4), (dev, 2)):
        content = [header, *lines * times] if header else [*lines * times]
        (folder / name).write_text("".join(f"{line}\n" for line in content), encoding="utf-8")
    return folder


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


def squad(count: int, *, has_unanswerable: bool) -> str:
    """SQuAD's JSON: a paragraph for each noun, with one or two questions."""
    paragraphs = []
    for n, noun, word in _facts(count):
        context = f"the {noun} is {word} and my card is lost"
        answer = {"text": noun, "answer_start": 4}
        questions: list[dict[str, Any]] = [
            {"id": f"{n}a", "question": f"  what is {word}", "answers": [answer]}
        ]
        if has_unanswerable:
            questions[0]["is_impossible"] = False
            questions.append(
                {
                    "id": f"{n}b",
                    "question": "who is it",
                    "answers": [],
                    "plausible_answers": [answer],
                    "is_impossible": True,
                }
            )
        paragraphs.append({"context": context, "qas": questions})
    return json.dumps({"version": "v", "data": [{"title": "t", "paragraphs": paragraphs}]})


def write_squad(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    version, is_second = ("v2.0", True) if name == "squad_v2" else ("v1.1", False)
    for part, count in (("train", 8), ("dev", 4)):
        text = squad(count, has_unanswerable=is_second)
        (folder / f"{part}-{version}.json").write_text(text, encoding="utf-8")
    return folder


def write_set(folder: Path, family: str, name: str) -> Path:
    """Write a sample of any set into a folder, as its official files."""
    writers = {"superglue": write_superglue, "glue": write_glue, "qa": write_squad}
    return writers.get(family, write_tagging)(folder, name)
