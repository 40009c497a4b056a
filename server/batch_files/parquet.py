"""Rows of a Parquet file: each column is a field of the inputs, and `id` and `model` may be two."""

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from server.batch_files.errors import UnreadableFile
from server.batch_files.input_rows import MAX_ROW_BYTES, FileSummary, InputRow, model_name

_DAMAGE: Final = (pa.ArrowException, OSError, UnicodeDecodeError)
_ROWS_AT_ONCE: Final = 64
_BUFFER_BYTES: Final = 2**16
_MAX_COLUMNS: Final = 100
_MAX_GROUP_BYTES: Final = 2**28
"""Maximum uncompressed size of a row group, which is read as a whole."""
_BYTES_PER_ITEM: Final = 8
"""Bytes that an item of a list adds to its row, so that lists of empty texts end, too."""


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
            metadata = pq.read_metadata(path)
            _check_number_of_columns(metadata)
            file = pq.ParquetFile(
                path,
                metadata=metadata,
                pre_buffer=False,
                buffer_size=_BUFFER_BYTES,
                read_dictionary=_text_columns(metadata),
            )
            _check_columns(file.schema_arrow)
            _check_groups(metadata)
        except _DAMAGE as error:
            raise UnreadableFile(
                f"The file is not valid Parquet: {str(error)[:200]}. Write it again."
            ) from error
        return cls(file, offset)

    def read(self, count: int) -> list[InputRow]:
        """Read the next rows."""
        try:
            return list(islice(self._rows, count))
        except _DAMAGE as error:
            raise UnreadableFile(
                f"The Parquet file is damaged: {str(error)[:200]}. Write it again."
            ) from error

    def check(self) -> None:
        """Read all rows, and keep none.

        Raises:
            UnreadableFile: when the file is damaged.
        """
        while self.read(_ROWS_AT_ONCE):
            pass

    @property
    def num_rows(self) -> int:
        """The number of rows of the whole file."""
        return int(self._file.metadata.num_rows)

    def models(self, max_models: int) -> frozenset[str | None]:
        """Find which models the rows name. It stops beyond `max_models`."""
        if "model" not in self._file.schema_arrow.names:
            return frozenset({None})
        models: set[str | None] = set()
        for group in range(self._file.metadata.num_row_groups):
            for names in self._file.read_row_group(group, columns=["model"]).column(0).chunks:
                models.update(map(model_name, names.dictionary.to_pylist()))
                models |= {None} if names.null_count else set()
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
    except _DAMAGE as error:
        raise UnreadableFile(
            f"The Parquet file is damaged: {str(error)[:200]}. Write it again."
        ) from error
    finally:
        rows.close()


def _rows(file: pq.ParquetFile, offset: int) -> Iterator[InputRow]:
    """Yield rows from an offset on."""
    start = 0
    for group in range(file.metadata.num_row_groups):
        end = start + file.metadata.row_group(group).num_rows
        if end > offset:
            num_skipped = max(0, offset - start)
            yield from _rows_of(file.read_row_group(group), num_skipped, start)
        start = end


def _rows_of(table: pa.Table, first: int, start: int) -> Iterator[InputRow]:
    """Yield the rows of a group from its row `first` on.

    A row that is too long never becomes Python values. A file of a few kilobytes can repeat a text
    of megabytes in each row, which the table refers to and does not copy.
    """
    is_short = sum(map(_sizes, table.columns), np.zeros(len(table), np.int64)) <= MAX_ROW_BYTES
    for place in range(first, len(table), _ROWS_AT_ONCE):
        chosen = is_short[place : place + _ROWS_AT_ONCE]
        short = table.slice(place, len(chosen)).filter(pa.array(chosen))
        values = iter(_copied(short).to_pylist())
        for end, is_read in enumerate(chosen, start=start + place + 1):
            if is_read:
                yield InputRow(_without_nulls(next(values)), None, end)
            else:
                yield InputRow(None, f"is longer than {MAX_ROW_BYTES} bytes", end)


def _copied(table: pa.Table) -> pa.Table:
    """Copy the texts that a table refers to: a reference is slow to convert."""
    for place, column in enumerate(table.columns):
        if pa.types.is_dictionary(column.type):
            texts = [chunk.dictionary_decode() for chunk in column.chunks]
            kind = column.type.value_type
            table = table.set_column(place, table.field(place).name, pa.chunked_array(texts, kind))
    return table


def _sizes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return the number of bytes of the texts of each row."""
    return np.concatenate([np.zeros(0, np.int64), *map(_sizes_of_chunk, column.chunks)])


def _sizes_of_chunk(chunk: pa.Array) -> NDArray[np.int64]:
    if pa.types.is_list(chunk.type) or pa.types.is_large_list(chunk.type):
        items = _sizes_of_chunk(chunk.values) + _BYTES_PER_ITEM
        totals = np.concatenate([np.zeros(1, np.int64), np.cumsum(items)])
        ends: NDArray[np.int64] = totals[chunk.offsets.to_numpy()]
        return ends[1:] - ends[:-1]
    if not pa.types.is_dictionary(chunk.type):  # numbers, or nothing
        return np.zeros(len(chunk), np.int64)
    lengths = pc.binary_length(chunk.dictionary).take(chunk.indices)
    found: NDArray[np.int64] = lengths.cast(pa.int64()).fill_null(0).to_numpy()
    return found


def _without_nulls(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def _check_number_of_columns(metadata: pq.FileMetaData) -> None:
    if metadata.num_columns > _MAX_COLUMNS:
        raise UnreadableFile(
            f"The file has {metadata.num_columns} columns; at most {_MAX_COLUMNS} are allowed. "
            "Remove those that the task does not read."
        )


def _text_columns(metadata: pq.FileMetaData) -> list[str]:
    """Return the paths of the columns of bytes."""
    columns = map(metadata.schema.column, range(metadata.num_columns))
    return [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]


def _check_columns(schema: pa.Schema) -> None:
    for column in schema:
        if not _is_readable(column.name, column.type):
            raise UnreadableFile(
                f"The column {column.name[:80]!r} has the type {str(column.type)[:80]}; expected "
                "texts, lists of texts, or integers for `id`. Convert the column, or remove it."
            )


def _is_readable(name: str, kind: pa.DataType) -> bool:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = kind.value_type
    if pa.types.is_dictionary(kind):
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
