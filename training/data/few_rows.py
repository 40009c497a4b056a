"""Loads the rows of a few-shot head, which may be none."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from training.data.feedback import feedback_layout, with_feedback
from training.data.layouts import layout_of
from training.data.parts import check_metric, digest_of, read_feedback, read_files
from training.data.reading import read_examples, reject
from training.data.row_warnings import Part, row_warnings
from training.data.spelling_warnings import label_warnings, text_warnings
from training.data.split import sample
from training.data.summary import summaries
from training.errors import DataProblem
from training.examples import Examples, Layout, TaskData
from training.files.rows import RowFile
from training.settings.config import TrainConfig
from training.tasks import TaskDefinition, definition_of

_NO_ROWS: Final[Examples[Any]] = Examples((), ())


def load_few_rows(config: TrainConfig) -> TaskData:
    """Read and check the rows of a head that is computed from few rows, or from labels alone.

    A part without a file has no examples. Labels may have no rows, and no rows are split off.

    Raises:
        DataRejected: with every problem of every file, or if there are fewer than two labels.
        PlanRejected: if the rows cannot be measured by the metric that selects the best step.
    """
    files, feedback = read_files(config), read_feedback(config)
    definition = definition_of(config.task_type)
    known = [*files.values(), *([feedback] if feedback else [])]
    if not known:
        labels, template = config.labels or (), definition.template(config, ())
        return TaskData(labels, template, _NO_ROWS, _NO_ROWS, None, sha256="")
    layout = layout_of(definition, config, known)
    if feedback is not None and config.labels is None:
        layout = replace(layout, labels=feedback_layout(definition, layout, feedback).labels)
    parts = _parts(definition, layout, files)
    if len(layout.labels) < 2:
        problem = "expected at least two labels, found one: list all with labels"
        reject([DataProblem(known[0].path, None, problem)])
    check_metric(config, layout)
    examples = {"train": _NO_ROWS, **{name: part.examples for name, part in parts.items()}}
    if feedback is not None:
        examples["train"] = with_feedback(definition, layout, feedback, **examples)
    limits = {"train": config.max_rows, "validation": config.max_validation_rows}
    limits["test"] = config.max_test_rows
    used = {name: sample(part, limits[name]) for name, part in examples.items()}
    described = {"feedback": feedback, **files} if feedback else files
    return TaskData(
        labels=layout.labels,
        template=layout.template,
        train=used["train"],
        validation=used.get("validation", _NO_ROWS),
        test=used.get("test"),
        sha256=digest_of(known),
        warnings=tuple(_warnings(definition, layout, parts)),
        summary=tuple(
            summaries(
                definition,
                layout,
                config.dataset,
                {"train": known[0], **described},
                {name: part for name, part in used.items() if part},
            )
        ),
    )


def _parts(
    definition: TaskDefinition[Any], layout: Layout, files: Mapping[str, RowFile]
) -> dict[str, Part]:
    problems: list[DataProblem] = []
    parts = {
        name: Part(file, read_examples(definition, layout, file, problems))
        for name, file in files.items()
    }
    reject(problems)
    return parts


def _warnings(
    definition: TaskDefinition[Any], layout: Layout, parts: Mapping[str, Part]
) -> Iterator[str]:
    """Warn about rows. That labels are rare is expected of few rows."""
    if not parts:
        return
    first, *others = parts.values()
    yield from label_warnings(definition, layout, first)
    for part in parts.values():
        yield from text_warnings(part)
    yield from row_warnings(definition, (), first, others, remedy=None)
