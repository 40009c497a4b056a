import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from server.batch_files.errors import UnreadableFile
from server.batch_files.input_rows import MAX_ROW_BYTES, InputRow
from server.batch_files.reading import open_rows, summarize
from server.batch_files.records import FileFormat


def read_all(path: Path, file_format: FileFormat, offset: int = 0) -> list[InputRow]:
    reader = open_rows(path, file_format, offset)
    found: list[InputRow] = []
    while rows := reader.read(3):
        found += rows
    reader.close()
    return found


@pytest.fixture(params=["jsonl", "parquet"])
def file_format(request: pytest.FixtureRequest) -> FileFormat:
    return request.param  # type: ignore[no-any-return]


def write(path: Path, file_format: FileFormat, rows: list[dict[str, str]]) -> None:
    if file_format == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=4)
    else:
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def test_reading_from_the_end_of_any_row_gives_exactly_the_later_rows(
    tmp_path: Path, file_format: FileFormat
) -> None:
    path, rows = tmp_path / "rows", [{"text": f"text {number}"} for number in range(11)]
    write(path, file_format, rows)
    found = read_all(path, file_format)
    assert [row.value for row in found] == rows
    for number, row in enumerate(found, start=1):
        later = read_all(path, file_format, row.end)
        assert [one.value for one in later] == rows[number:]
        assert [one.end for one in later] == [one.end for one in found[number:]]


def test_a_summary_counts_rows_and_names_models(tmp_path: Path, file_format: FileFormat) -> None:
    path = tmp_path / "rows"
    write(path, file_format, [{"model": "b", "text": "x"}, {"text": "y"}, {"model": "a"}])
    summary = summarize(path, file_format, max_models=10)
    assert (summary.num_rows, set(summary.models)) == (3, {"a", "b", None})
    assert len(summarize(path, file_format, max_models=0).models) >= 1


def test_a_model_is_found_however_its_member_is_written(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_text('{"mod\\u0065l": "a", "text": "x"}\n')
    assert summarize(path, "jsonl", max_models=10).models == {"a"}


def test_blank_lines_are_skipped_and_the_last_line_needs_no_break(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_bytes(b'\xef\xbb\xbf"a"\r\n\n  \n"b"\n\n"c"')
    assert [row.value for row in read_all(path, "jsonl")] == ["a", "b", "c"]
    assert summarize(path, "jsonl", max_models=10).num_rows == 3


def test_a_line_that_is_not_json_or_too_long_is_a_row_with_a_defect(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    longest = json.dumps("x" * (MAX_ROW_BYTES - 2))
    lines = ["{", longest, longest.replace("x", "xx", 1), '{"text": NaN}', '"last"']
    path.write_text("\n".join(lines))
    found = read_all(path, "jsonl")
    defects = [None if row.defect is None else row.defect[:25] for row in found]
    assert defects == [
        "is not valid JSON: Expect",
        None,
        "is longer than 1048576 by",
        "is not valid JSON: NaN is",
        None,
    ]
    assert found[-1].value == "last"
    assert found[-1].end == path.stat().st_size


def test_missing_values_of_parquet_are_missing_fields(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    table = {"id": [1, None], "text": ["a", "b"], "choices": [None, ["x", "y"]]}
    pq.write_table(pa.table(table), path)
    assert [row.value for row in read_all(path, "parquet")] == [
        {"id": 1, "text": "a"},
        {"text": "b", "choices": ["x", "y"]},
    ]


def test_parquet_that_no_task_can_read_is_rejected_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    pq.write_table(pa.table({"text": [1.5]}), path)
    with pytest.raises(UnreadableFile, match="column 'text' has the type double"):
        open_rows(path, "parquet", 0)
    path.write_bytes(b"not parquet")
    with pytest.raises(UnreadableFile, match="not valid Parquet"):
        open_rows(path, "parquet", 0)


def write_repeated(path: Path, text: str, num_rows: int) -> None:
    """Write rows with the same text, and with lists of it, which take almost no bytes."""
    texts, places = pa.array([text]), pa.array([0] * num_rows, pa.int32())
    column = pa.DictionaryArray.from_arrays(places, texts)
    offsets = pa.array(range(num_rows + 1), pa.int32())
    pq.write_table(
        pa.table({"text": column, "choices": pa.ListArray.from_arrays(offsets, column)}), path
    )


def test_a_long_text_that_parquet_repeats_is_never_copied(tmp_path: Path) -> None:
    path, num_rows = tmp_path / "rows", 10_000
    write_repeated(path, "x" * (20 * MAX_ROW_BYTES), num_rows)
    assert path.stat().st_size < MAX_ROW_BYTES * 3
    code = f"""
import resource
from pathlib import Path
from server.batch_files.reading import open_rows
resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30,) * 2)
rows = open_rows(Path({str(path)!r}), "parquet", 0)
found = rows.read({num_rows + 1})
assert len(found) == {num_rows}
assert {{row.defect for row in found}} == {{"is longer than {MAX_ROW_BYTES} bytes"}}
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_list_that_is_too_long_is_a_defect_of_its_row_alone(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    texts = ["x" * (MAX_ROW_BYTES // 2)] * 2
    rows = [["a", "b"], texts, [""] * (MAX_ROW_BYTES // 8 + 1), None, ["c"]]
    pq.write_table(pa.table({"choices": rows}), path)
    found = read_all(path, "parquet")
    assert [row.defect is None for row in found] == [True, False, False, True, True]
    assert [row.value for row in found][3:] == [{}, {"choices": ["c"]}]
    assert [row.end for row in found] == [1, 2, 3, 4, 5]


def test_parquet_with_too_many_columns_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    pq.write_table(pa.table({f"text{number}": ["a"] for number in range(101)}), path)
    with pytest.raises(UnreadableFile, match="101 columns"):
        open_rows(path, "parquet", 0)


@pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
def test_every_kind_of_text_is_read(tmp_path: Path, kind: pa.DataType) -> None:
    path = tmp_path / "rows"
    texts = pa.array(["a", None, "b"], pa.string()).cast(kind)
    choices = pa.array([["a"], None, []], pa.large_list(pa.large_string()))
    pq.write_table(pa.table({"text": texts, "choices": choices, "model": texts}), path)
    assert [row.value for row in read_all(path, "parquet")] == [
        {"text": "a", "choices": ["a"], "model": "a"},
        {},
        {"text": "b", "choices": [], "model": "b"},
    ]
    assert summarize(path, "parquet", max_models=10).models == {"a", "b", None}


def test_a_line_that_is_not_utf_8_has_a_defect(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    line = '{"text": "a", "model": "b"}\n'
    path.write_bytes(line.encode("utf-16-be") + b'"\xff"\n"\xed\xa0\x80"\n"a"')
    assert [row.defect for row in read_all(path, "jsonl")] == [
        "is not valid JSON: Expecting value: line 1 column 1 (char 0)",
        "is not valid JSON: byte 1 is not valid UTF-8",
        "is not valid JSON: byte 1 is not valid UTF-8",
        None,
    ]


def test_long_names_of_models_are_cut(tmp_path: Path, file_format: FileFormat) -> None:
    path = tmp_path / "rows"
    write(path, file_format, [{"model": "m" * 10_000}])
    (name,) = summarize(path, file_format, max_models=10).models
    assert name == "m" * 300


def test_parquet_whose_texts_are_not_utf_8_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    text = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"]).buffers())
    pq.write_table(pa.table({"text": text}), path)
    with pytest.raises(UnreadableFile, match="damaged: 'utf-8' codec"):
        read_all(path, "parquet")
    pq.write_table(pa.table({"text": ["a"], "model": text}), path)
    with pytest.raises(UnreadableFile, match="damaged: 'utf-8' codec"):
        summarize(path, "parquet", max_models=10)
