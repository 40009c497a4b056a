"""Readers of the files of published datasets: GLUE's TSV, CoNLL, SRL, and SQuAD's JSON."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from training.datasets.dataset import Reader
from training.errors import DataProblem, DataRejected
from training.files.charset import decode
from training.files.rows import Row, RowFile

Parse = Callable[[Path, str], Iterator[Row | DataProblem]]

_BLANKS: Final = re.compile(r"[ \t]+")
_DOCUMENT: Final = "-DOCSTART-"
_BAR: Final = "|||"
_COLA: Final = ("source", "label", "star", "sentence")


def glue_tsv() -> Reader:
    """Return a reader of GLUE's TSV: a header, tabs, and quotation marks without meaning.

    Only CoLA's labeled files have no header: source, label, the author's mark, sentence.
    """
    return partial(_read, parse=_tsv)


def conll_columns(token: int, *, is_uniform: bool = False) -> Reader:
    """Return a reader of one token per line, with its tag last. Blank lines separate texts.

    The last text needs no blank line after it. Empty texts are skipped.

    Args:
        token: number of the token's column, from 0.
        is_uniform: reject lines with another number of columns than the first one, such as those
            of plain sentences.
    """
    return partial(_read, parse=partial(_conll, token=token, is_uniform=is_uniform))


def srl_lines() -> Reader:
    """Return a reader of `INDEX WORDS ||| TAGS`, one line for each predicate of a text."""
    return partial(_read, parse=_srl)


def squad_json() -> Reader:
    """Return a reader of SQuAD's JSON: `data` of `paragraphs` of `qas`. Rows are numbered."""
    return partial(_read, parse=_squad)


def _read(path: Path, *, parse: Parse) -> RowFile:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _rejected(path, f"cannot be read: {error.strerror}") from error
    digest = hashlib.sha256(data).hexdigest()
    return RowFile.of(path, parse(path, decode(path, data)), digest)


def _rejected(path: Path, message: str) -> DataRejected:
    return DataRejected((DataProblem(path, None, message),))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.split("\n"), start=1):
        yield number, line.rstrip("\r")


def _tsv(path: Path, text: str) -> Iterator[Row | DataProblem]:
    header: Sequence[str] = ()
    for number, line in _lines(text):
        cells = line.split("\t")
        if not line.strip():
            continue
        if not header:
            header = _COLA if len(cells) == len(_COLA) and cells[1] in {"0", "1"} else cells
            if header is cells:
                continue
        # The header of MNLI's training file lists fewer annotators than the rows have.
        if len(cells) < len(header):
            expected = f"expected {len(header)} cells as in the header, found {len(cells)}"
            yield DataProblem(path, number, expected)
        else:
            yield Row(path, number, dict(zip(header, cells, strict=False)))


def _conll(path: Path, text: str, *, token: int, is_uniform: bool) -> Iterator[Row | DataProblem]:
    tokens: list[str] = []
    tags: list[str] = []
    start = 1
    width = 0
    for number, line in [*_lines(text), (0, "")]:
        cells = _BLANKS.split(line.strip(" \t"))
        if cells == [""] or cells[token] == _DOCUMENT:
            if tokens:
                yield Row(path, start, {"tokens": tokens, "tags": tags})
            tokens, tags = [], []
            continue
        if len(cells) < token + 2:
            expected = f"expected a token in column {token + 1} and a tag in the last"
            yield DataProblem(path, number, f"{expected}, found {line!r:.80}")
            continue
        width = width or len(cells)
        if is_uniform and len(cells) != width:
            expected = f"expected a token and its tag, in {width} columns as in the first line"
            yield DataProblem(path, number, f"{expected}, found {len(cells)} in {line!r:.80}")
            continue
        start = start if tokens else number
        tokens.append(cells[token])
        tags.append(cells[-1])


def _srl(path: Path, text: str) -> Iterator[Row | DataProblem]:
    for number, line in _lines(text):
        if not line.strip():
            continue
        left, bar, right = line.partition(_BAR)
        place, *words = left.split()
        tags = right.split()
        if not place.isdecimal() or int(place) >= len(words) or (bar and len(tags) != len(words)):
            yield DataProblem(
                path,
                number,
                f"expected INDEX WORDS {_BAR} as many TAGS, found {len(words)} words, "
                f"{len(tags)} tags, and the index {place!r:.20}",
            )
            continue
        row = {"tokens": words, "predicate_index": int(place)}
        yield Row(path, number, {**row, "tags": tags} if bar else row)


def _squad(path: Path, text: str) -> Iterator[Row | DataProblem]:
    try:
        questions = [
            _question(paragraph["context"], question)
            for article in json.loads(text)["data"]
            for paragraph in article["paragraphs"]
            for question in paragraph["qas"]
        ]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        yield DataProblem(path, None, f"expected SQuAD's data, paragraphs and qas: {error!r:.80}")
        return
    for number, columns in enumerate(questions, start=1):
        yield Row(path, number, columns)


def _question(context: str, question: Mapping[str, Any]) -> dict[str, Any]:
    marks = {name: question[name] for name in ("is_impossible",) if name in question}
    row = {"id": question["id"], "question": question["question"], "context": context, **marks}
    answers = question.get("answers")
    if answers is None:
        return row
    texts = [answer["text"] for answer in answers]
    starts = [answer["answer_start"] for answer in answers]
    return {**row, "answers": {"text": texts, "answer_start": starts}}
