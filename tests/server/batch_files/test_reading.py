import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from server.batch_files.errors import UnreadableFile
from server.batch_files.reading import MAX_ROW_BYTES, InputRow, open_rows, summarize
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


def test_blank_lines_are_no_rows_and_the_last_line_needs_no_break(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_bytes(b'\xef\xbb\xbf"a"\r\n\n  \n"b"\n\n"c"')
    assert [row.value for row in read_all(path, "jsonl")] == ["a", "b", "c"]
    assert summarize(path, "jsonl", max_models=10).num_rows == 3


def test_a_line_that_is_no_json_or_too_long_is_a_row_with_a_defect(tmp_path: Path) -> None:
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
