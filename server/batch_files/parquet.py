"""Rows of a Parquet file: each column is a field of the inputs, and `id` and `model` may be two."""

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

from server.batch_files.errors import UnreadableFile
from server.batch_files.reading import MAX_ROW_BYTES, FileSummary, InputRow, model_of

_ROWS_AT_ONCE: Final = 256
_BUFFER_BYTES: Final = 2**16
_MAX_GROUP_BYTES: Final = 2**28
"""Maximum uncompressed size of a row group: reading a row reads the pages of its group."""


class ParquetRows:
    """Rows of a file with columns of texts, lists of texts (`choices`) and integers (`id`)."""

    def __init__(self, file: pq.ParquetFile, offset: int) -> None:
        self._file = file
        self._rows = _rows(file, offset)

    @classmethod
    def open(cls, path: Path, offset: int) -> Self:
        """Open a file. Offsets are numbers of rows.

        Raises:
            UnreadableFile: when it is damaged, or no task can read its columns.
        """
        try:
            file = pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_BYTES)
        except (pa.ArrowException, OSError) as error:
            raise UnreadableFile(
                f"The file is not valid Parquet: {str(error)[:200]}. Write it again."
            ) from error
        _check_columns(file.schema_arrow)
        _check_groups(file.metadata)
        return cls(file, offset)

    def read(self, count: int) -> list[InputRow]:
        """Read the next rows."""
        try:
            return [
                InputRow(value, _defect(value), end) for value, end in islice(self._rows, count)
            ]
        except (pa.ArrowException, OSError) as error:
            raise UnreadableFile(
                f"The Parquet file is damaged: {str(error)[:200]}. Write it again."
            ) from error

    @property
    def num_rows(self) -> int:
        """The number of rows of the whole file."""
        return int(self._file.metadata.num_rows)

    def models(self, max_models: int) -> frozenset[str | None]:
        """Find which models the rows name. It stops beyond `max_models`."""
        if "model" not in self._file.schema_arrow.names:
            return frozenset({None})
        models: set[str | None] = set()
        for batch in self._file.iter_batches(_ROWS_AT_ONCE, columns=["model"]):
            models.update(map(model_of, batch.to_pylist()))
            if len(models) > max_models:
                break
        return frozenset(models)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def summarize_parquet(path: Path, *, max_models: int) -> FileSummary:
    """Count the rows of a file, and find which models they name.

    Raises:
        UnreadableFile: as `ParquetRows.open`.
    """
    rows = ParquetRows.open(path, 0)
    try:
        return FileSummary(rows.num_rows, rows.models(max_models))
    except (pa.ArrowException, OSError) as error:
        raise UnreadableFile(
            f"The Parquet file is damaged: {str(error)[:200]}. Write it again."
        ) from error
    finally:
        rows.close()


def _rows(file: pq.ParquetFile, offset: int) -> Iterator[tuple[Mapping[str, Any], int]]:
    """Yield rows from an offset on, each with the offset of the next one."""
    start = 0
    for group in range(file.metadata.num_row_groups):
        end = start + file.metadata.row_group(group).num_rows
        if end > offset:
            for batch in file.iter_batches(_ROWS_AT_ONCE, row_groups=[group]):
                if start + batch.num_rows > offset:
                    for number, row in enumerate(batch.to_pylist(), start=start + 1):
                        if number > offset:
                            yield _without_nulls(row), number
                start += batch.num_rows
        start = end


def _without_nulls(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def _defect(row: Mapping[str, Any]) -> str | None:
    num_bytes = sum(len(value) for value in row.values() if isinstance(value, str))
    return f"is longer than {MAX_ROW_BYTES} bytes" if num_bytes > MAX_ROW_BYTES else None


def _check_columns(schema: pa.Schema) -> None:
    for column in schema:
        if not _is_readable(column.name, column.type):
            raise UnreadableFile(
                f"The column {column.name[:80]!r} has the type {str(column.type)[:80]}; expected "
                "texts, lists of texts, or integers for `id`. Convert the column, or remove it."
            )


def _is_readable(name: str, kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = kind.value_type
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)
    return is_text or (name == "id" and pa.types.is_integer(kind))


def _check_groups(metadata: pq.FileMetaData) -> None:
    sizes = (
        metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups)
    )
    if max(sizes, default=0) > _MAX_GROUP_BYTES:
        raise UnreadableFile(
            f"A row group of the Parquet file has more than {_MAX_GROUP_BYTES // 2**20} MiB. Write "
            "the file with smaller row groups."
        )
