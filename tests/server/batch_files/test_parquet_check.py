"""Parquet files that would crash the server, or exhaust its memory."""

import random
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from server.batch_files import parquet_check
from server.batch_files.errors import UnreadableFile
from server.batch_files.parquet_check import check_parquet
from server.batch_files.reading import open_rows


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"id": range(100), "text": ["a", "b"] * 50}), path, row_group_size=40)
    return path


def test_a_readable_file_passes(path: Path) -> None:
    check_parquet(path)


def test_a_column_of_a_wrong_type_is_reported_as_when_reading(path: Path) -> None:
    pq.write_table(pa.table({"text": [1.5]}), path)
    with pytest.raises(UnreadableFile, match="column 'text' has the type double"):
        check_parquet(path)


def test_damage_behind_the_metadata_is_found(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4:60] = random.Random(1).randbytes(56)
    path.write_bytes(data)
    open_rows(path, "parquet", 0).close()
    with pytest.raises(UnreadableFile, match="damaged"):
        check_parquet(path)


def test_a_file_that_needs_too_much_memory_is_rejected(path: Path) -> None:
    # Rows without a value take almost no bytes in the file, and 4 bytes or more in memory.
    nothing = pa.nulls(2**26, pa.string())
    pq.write_table(pa.table({"text": nothing}), path, row_group_size=len(nothing))
    assert path.stat().st_size < 2**20
    with pytest.raises(UnreadableFile, match="needs more than 1 GiB of memory"):
        check_parquet(path, max_memory_bytes=2**30)


def test_a_reader_that_crashes_harms_only_its_own_process(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    crashing = (*parquet_check._COMMAND[:2], "-c", "import os; os.write(2, b'why'); os.abort()")
    monkeypatch.setattr(parquet_check, "_COMMAND", crashing)
    with pytest.raises(UnreadableFile, match="cannot be read: it is damaged"):
        check_parquet(path)
    assert "ended with exit code -6: why" in caplog.text


def test_the_process_finds_the_packages_of_the_server(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.path", [*sys.path, "/only/here"])
    script = "import sys; sys.exit(0 if '/only/here' in sys.path else 1)"
    monkeypatch.setattr(parquet_check, "_COMMAND", (*parquet_check._COMMAND[:2], "-c", script))
    check_parquet(path)
