"""Adds rows of feedback to the training rows, which they correct."""

import dataclasses
from typing import Any

from training.data.reading import read_examples, reject
from training.errors import DataProblem
from training.examples import Examples, Layout, wording
from training.files.packed import PackedList
from training.files.rows import RowFile
from training.tasks import TaskDefinition


def feedback_layout(definition: TaskDefinition[Any], layout: Layout, file: RowFile) -> Layout:
    """Return the layout of rows of feedback: columns have their usual names.

    Labels that occur in feedback alone are added to those that occur in the training rows.
    """
    present = file.rows[0].columns if file.rows else {}
    usual = dataclasses.replace(
        layout,
        columns=definition.columns(layout.template, present),
        label=None,
        label_columns=(),
        has_candidates=False,
    )
    found = definition.labels(dataclasses.replace(usual, labels=()), file.rows)
    labels = tuple(dict.fromkeys((*layout.labels, *found)))
    return dataclasses.replace(usual, labels=labels)


def with_feedback(
    definition: TaskDefinition[Any],
    layout: Layout,
    file: RowFile,
    *,
    train: Examples[Any],
    **held_out: Examples[Any],
) -> Examples[Any]:
    """Return the training rows with those of feedback.

    Of several rows of feedback with the same words, the last one counts. They replace training
    rows with these words. Rows that are held out stay as they are, and feedback on them is left
    out, so that figures are not measured on rows that were trained on.

    Raises:
        DataRejected: with every problem of the rows of feedback.
    """
    problems: list[DataProblem] = []
    named = dataclasses.replace(feedback_layout(definition, layout, file), labels=layout.labels)
    given = read_examples(definition, named, file, problems)
    reject(problems)
    measured = {wording(fields) for part in held_out.values() for fields in part.inputs}
    last = {wording(fields): row for row, fields in enumerate(given.inputs)}
    used = sorted(row for key, row in last.items() if key not in measured)
    kept = [row for row, fields in enumerate(train.inputs) if wording(fields) not in last]
    first, second = train.take(kept), given.take(used)
    return Examples(
        PackedList((*first.inputs, *second.inputs)), PackedList((*first.truths, *second.truths))
    )
