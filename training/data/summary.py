"""A summary of the rows: one sentence per part, with the role of each column."""

from collections.abc import Iterator, Mapping
from typing import Any

from training.examples import Examples, Layout
from training.files.rows import RowFile
from training.tasks import TaskDefinition


def summaries(
    definition: TaskDefinition[Any],
    layout: Layout,
    dataset: str | None,
    files: Mapping[str, RowFile],
    parts: Mapping[str, Examples[Any]],
) -> Iterator[str]:
    """Describe each part.

    Args:
        definition: of the task.
        layout: where the rows keep what the task needs.
        dataset: name of the published set that the rows are of, if any.
        files: by part; one without its own was split off from the training file.
        parts: the rows that are used.
    """
    for name, examples in parts.items():
        file = files.get(name, files["train"])
        origin = f"{file.path.name}{f', read as {dataset}' if dataset else ''}"
        total = len(file.rows)
        if name == "train" and (feedback := files.get("feedback")) is not None:
            origin, total = f"{origin} and {feedback.path.name}", total + len(feedback.rows)
        phrases = definition.column_roles(layout, file, examples.truths)
        yield "; ".join([f"{name}: {_size(file, total, len(examples))} of {origin}", *phrases])


def _size(file: RowFile, total: int, used: int) -> str:
    noun = ("text" if file.tag_layout else "row") + ("" if total == 1 else "s")
    return f"{total:,} {noun}" if used == total else f"{used:,} of {total:,} {noun}"
