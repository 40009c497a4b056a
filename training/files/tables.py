"""Rows of Parquet files, of folders of the package `datasets`, and of datasets of the hub.

The package is an extra. Its import takes seconds, so it is imported only if a source needs it.
"""

# ruff: noqa: PLC0415 - see above

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from training.errors import DataProblem, DataRejected
from training.sources import HubSource, Source

if TYPE_CHECKING:
    import datasets

_SECONDS: Final = 10.0
"""Time limit for the hub to respond. The package itself would try for half a minute."""

_ROWS_AT_ONCE: Final = 1000


def read_table(source: Source) -> Iterator[dict[str, Any]]:
    """Read the rows of a `.parquet` file, a folder of `save_to_disk` or a dataset of the hub.

    Numbers of a `ClassLabel` become its names, in lists as well. -1 is a hidden label of a test
    set and becomes None.

    Raises:
        DataRejected: if the rows cannot be read.
    """
    if find_spec("datasets") is None:
        raise _unreadable(
            source,
            "requires the package datasets, which is not installed: run "
            "pip install 'polyprefix[data]'",
        )
    table = _from_hub(source) if isinstance(source, HubSource) else _from_disk(source)
    for start in range(0, len(table), _ROWS_AT_ONCE):
        some = table.select(range(start, min(start + _ROWS_AT_ONCE, len(table))))
        for row in some.to_list():
            yield {name: _worded(table.features[name], value) for name, value in row.items()}


def _from_disk(path: Path) -> "datasets.Dataset":
    import datasets
    import pyarrow as pa
    from pyarrow import parquet

    try:
        if path.is_dir():
            found = datasets.load_from_disk(path)
        else:
            found = datasets.Dataset(parquet.read_table(path))
    except (OSError, ValueError, pa.ArrowException) as error:
        expected = "a folder of datasets' save_to_disk" if path.is_dir() else "a Parquet file"
        raise _unreadable(path, f"cannot be read as {expected}: {_first_line(error)}") from error
    if isinstance(found, datasets.DatasetDict):
        raise _unreadable(
            path, f"contains several splits: choose one of its folders, {', '.join(found)}"
        )
    return found


def _from_hub(source: HubSource) -> "datasets.Dataset":
    import datasets

    is_local = Path(source.path).exists()
    if not is_local and not datasets.config.HF_HUB_OFFLINE:
        _reach(datasets.config.HF_ENDPOINT, source)
    try:
        found = datasets.load_dataset(source.path, source.config or None, split=source.split)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise _unreadable(source, f"cannot be loaded: {_first_line(error)}") from error
    assert isinstance(found, datasets.Dataset)
    return found


def _reach(endpoint: str, source: HubSource) -> None:
    import httpx

    try:
        httpx.head(endpoint, timeout=_SECONDS)
    except httpx.TransportError as error:
        raise _unreadable(
            source,
            f"the hub {endpoint} cannot be reached ({_first_line(error)}): check the network, or "
            "set HF_HUB_OFFLINE=1 to use an earlier download",
        ) from error


def _worded(feature: Any, value: Any) -> Any:
    """Replace numbers of a ClassLabel by its names, anywhere in a value."""
    import datasets

    if isinstance(feature, datasets.ClassLabel):
        return None if value is None or value < 0 else feature.int2str(value)
    if isinstance(feature, datasets.List | datasets.LargeList) and value is not None:
        return [_worded(feature.feature, item) for item in value]
    if isinstance(feature, dict) and value is not None:
        return {name: _worded(feature[name], item) for name, item in value.items()}
    return value


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


def _unreadable(source: Source, message: str) -> DataRejected:
    return DataRejected((DataProblem(source, None, message),))
