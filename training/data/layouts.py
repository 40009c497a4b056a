"""Decides which columns of a file hold the texts and labels of a task."""

import dataclasses
import itertools
from collections.abc import Container, Sequence
from typing import Any

from prefixes import InputTemplate, PrefixSpec
from training.datasets import CANDIDATE, DATASETS
from training.errors import PlanRejected
from training.examples import Columns, Layout
from training.files.rows import RowFile
from training.settings.config import TrainConfig
from training.tasks import TaskDefinition, definition_of


def layout_of(
    definition: TaskDefinition[Any], config: TrainConfig, files: Sequence[RowFile]
) -> Layout:
    """Find the columns of a new task: those the user named, else the usual ones that exist.

    By default the labels are inferred from the training rows, or from all rows of a published
    dataset.
    """
    present = _present(files[0])
    template = definition.template(config, present)
    layout = Layout(
        template=template,
        columns=_columns(definition, template, config.columns, present),
        label=config.label_column,
        separator=config.label_separator,
        labels=config.labels or (),
        problem_type=config.problem_type,
        has_candidates=config.dataset is not None and CANDIDATE in present,
        label_columns=config.label_columns or (),
    )
    layout = dataclasses.replace(layout, label_columns=_label_columns(layout, present))
    known = files if config.dataset is not None else files[:1]
    rows = itertools.chain.from_iterable(file.rows for file in known)
    return dataclasses.replace(layout, labels=definition.labels(layout, rows))


def known_layout(spec: PrefixSpec, columns: Columns, file: RowFile) -> Layout:
    """Find the columns of a task that a prefix was trained for."""
    definition = definition_of(spec.task_type)
    dataset = dataset_of(spec, columns)
    layout = Layout(
        template=spec.input,
        columns=_columns(definition, spec.input, columns, _present(file)),
        label=columns.label,
        separator=columns.separator,
        labels=spec.labels,
        problem_type=spec.problem_type,
        has_candidates=dataset is not None and CANDIDATE in _present(file),
        label_columns=columns.labels,
    )
    label_columns = _label_columns(layout, _present(file))
    return dataclasses.replace(layout, label_columns=label_columns)


def dataset_of(spec: PrefixSpec, columns: Columns) -> str | None:
    """Return the name of the published dataset that a prefix was trained on.

    None for all other rows, including rows whose columns the user named.
    """
    if any((columns.text, columns.pair, columns.label)):
        return None
    recipe = spec.provenance.recipe if spec.provenance else {}
    name = recipe.get("dataset")
    return name if isinstance(name, str) and name in DATASETS else None


def _label_columns(layout: Layout, present: Container[str]) -> tuple[str, ...]:
    """Return the columns of single labels: those given, or else columns named as the labels."""
    is_free = layout.problem_type == "multi_label_classification" and layout.label is None
    if layout.label_columns or not is_free or "label" in present:
        return layout.label_columns
    return layout.labels if all(label in present for label in layout.labels) else ()


def _present(file: RowFile) -> Container[str]:
    return file.rows[0].columns if file.rows else {}


def _columns(
    definition: TaskDefinition[Any],
    template: InputTemplate,
    columns: Columns,
    present: Container[str],
) -> dict[str, str]:
    """Assign the columns that the user named to the texts of the task, in order."""
    usual = definition.columns(template, present)
    named = [name for name in (columns.text, columns.pair) if name is not None]
    if len(named) > len(usual):
        raise PlanRejected(
            f"{' and '.join(named)} are too many columns: the task takes {', '.join(usual)}"
        )
    return {**usual, **dict(zip(usual, named, strict=False))}
