"""Files of rows: every format says the same, and what is wrong is told with its place."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.training.learnable_tasks import write_csv, write_jsonl
from training.errors import DataRejected
from training.files.row_readers import read_rows
from training.sources import place_in

ROWS = [
    {"text": "a good film", "label": "good"},
    {"text": "line\u2028separator, and a comma", "label": "bad"},
]


def write_tsv(path: Path, rows: list[dict[str, Any]], *, end: str = "\n") -> Path:
    lines = ["\t".join(rows[0]), *("\t".join(row.values()) for row in rows)]
    path.write_bytes("".join(line + end for line in lines).encode())
    return path


def test_every_text_format_says_the_same(tmp_path: Path) -> None:
    array = tmp_path / "rows.json"
    array.write_text(json.dumps(ROWS), encoding="utf-8")
    files = [
        array,
        write_jsonl(tmp_path / "rows.jsonl", ROWS),
        write_csv(tmp_path / "rows.csv", ROWS),
        write_tsv(tmp_path / "rows.tsv", ROWS),
        write_tsv(tmp_path / "windows.tsv", ROWS, end="\r\n"),
    ]
    for file in files:
        assert [row.columns for row in read_rows(file).rows] == ROWS, file.name


def test_quotes_in_a_tsv_are_part_of_its_cells(tmp_path: Path) -> None:
    rows = [{"text": '"never closed', "label": "x"}, {"text": 'says "no"', "label": "y"}]
    file = read_rows(write_tsv(tmp_path / "rows.tsv", rows))
    assert [row.columns for row in file.rows] == rows
    assert [row.line for row in file.rows] == [2, 3]


def test_rows_of_an_array_have_numbers_from_one(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text('[{"text": "a"}, 7]', encoding="utf-8")
    file = read_rows(path)
    assert file.rows[0].line == 1
    assert [str(problem) for problem in file.problems] == [
        "rows.json, row 2: expected a JSON object, found another value"
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [("{", "rows.json: is not JSON"), ('{"data": []}', "rows.json: expected an array of objects")],
)
def test_json_that_is_no_array_is_refused(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "rows.json"
    path.write_text(content, encoding="utf-8")
    assert str(read_rows(path).problems[0]).startswith(expected)


@pytest.mark.parametrize(
    ("encoding", "told"),
    [
        ("utf-16", "rows.csv: expected UTF-8, found UTF-16: convert it: iconv -f UTF-16"),
        ("latin-1", "rows.csv, line 2: is not UTF-8 text: it may be CP1252 (which reads 'caf"),
        ("utf-32", "rows.csv: expected UTF-8, found UTF-32: convert it: iconv -f UTF-32"),
        ("utf-16-le", "rows.csv: is not UTF-8 text: it may be UTF-16LE (which reads"),
    ],
)
def test_text_of_another_encoding_is_refused_with_its_remedy(
    tmp_path: Path, encoding: str, told: str
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text,label\ncaf\xe9,good\n", encoding=encoding)
    with pytest.raises(DataRejected) as caught:
        read_rows(path)
    (problem,) = caught.value.problems
    assert str(problem).startswith(told)
    assert str(problem).endswith("-t UTF-8 rows.csv > utf-8.csv")


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("gbk", "\u8fd9\u90e8\u7535\u5f71\u5f88\u597d\u770b"),
        ("big5", "\u9019\u90e8\u96fb\u5f71\u5f88\u597d\u770b"),
        ("cp932", "\u3053\u306e\u6620\u753b\u306f\u826f\u3044"),
        ("cp949", "\uc774 \uc601\ud654\ub294 \uc88b\ub2e4"),
    ],
)
def test_a_refusal_shows_what_the_text_says_in_each_likely_encoding(
    tmp_path: Path, encoding: str, text: str
) -> None:
    path = tmp_path / "rows.csv"
    # Longer than what is looked at, and so cut.
    lines = ["text,label", "plain,good", *[f"{text},good"] * 3000]
    path.write_text("\n".join(lines), encoding=encoding)
    with pytest.raises(DataRejected) as caught:
        read_rows(path)
    told = str(caught.value.problems[0])
    assert told.startswith("rows.csv, line 3: is not UTF-8 text: it may be ")
    assert f"{'GB18030' if encoding == 'gbk' else encoding.upper()} (which reads '{text}" in told


def test_a_refusal_shows_the_first_character_that_differs(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(f"text,label\n{'many words before ' * 3}caf\xe9,good\n", encoding="latin-1")
    with pytest.raises(DataRejected, match=r"reads '[a-z ]{0,24}caf\xe9"):
        read_rows(path)


def test_bytes_of_no_text_are_refused_as_such(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(bytes(range(256)) * 9)
    with pytest.raises(DataRejected, match="it may be a binary file"):
        read_rows(path)


@pytest.mark.parametrize("name", ["ROWS.CSV", "rows.JsonL", "Rows.TSV", "rows.JSON"])
def test_extensions_may_be_in_any_case(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write: dict[str, Any] = {"csv": write_csv, "jsonl": write_jsonl, "tsv": write_tsv}
    kind = name.lower().rpartition(".")[2]
    if kind == "json":
        path.write_text(json.dumps(ROWS), encoding="utf-8")
    else:
        write[kind](path, ROWS)
    assert [row.columns for row in read_rows(path).rows] == ROWS
    assert place_in(path) == ("row" if kind == "json" else "line")


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (
            'text,label\na,x\n"open,y\nb,x\nc,y\n',
            3,
            "the record that begins here is broken at line 5",
        ),
        (
            'text,label\na,x\n"open,y\nb,"x"\nc,y\n',
            3,
            "the record that begins here is broken at line 4",
        ),
        ('text,label\na,"x"y\n', 2, "',' expected after '\"'; close every quote"),
    ],
)
def test_an_open_quote_is_told_where_its_record_begins(
    tmp_path: Path, content: str, line: int, reason: str
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(content, encoding="utf-8")
    (problem,) = read_rows(path).problems
    assert str(problem).startswith(f"rows.csv, line {line}: is not CSV: {reason}")


def test_json_lines_that_are_named_json_are_told(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.json", ROWS)
    assert str(read_rows(path).problems[0]).endswith(
        "rename a file with one object per line to .jsonl"
    )


def test_a_csv_with_semicolons_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text;label\ngood, bad;x\nfine;y\n", encoding="utf-8")
    (problem,) = read_rows(path).problems
    assert "line 1: expected commas between cells, found semicolons" in str(problem)


def test_a_column_that_is_there_twice_is_told(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    path.write_text("text\tlabel\ttext\na\tb\tc\n", encoding="utf-8")
    assert [str(problem) for problem in read_rows(path).problems] == [
        "rows.tsv, line 1: the header contains 'text' more than once"
    ]


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    with pytest.raises(DataRejected, match="cannot be read as a folder of datasets' save_to_disk"):
        read_rows(tmp_path)
