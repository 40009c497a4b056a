"""The process that checks rows without training: `python -m training.service.row_check FOLDER`.

It reads `ROW_PLAN` and the labeled rows in the folder, and writes `ROW_CHECK`.
"""

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any, Final

from prefixes.atomic import write_atomically
from training.service.protocol.messages import CheckedPart, Failure, LabelCount, RowCheck
from training.service.protocol.worker import ROW_CHECK, ROW_PLAN

_MAX_CPU_SECONDS: Final = 120
"""Ends a process whose server was killed."""


def main() -> None:
    """Check the rows in the folder on the command line."""
    os.nice(5)
    resource.setrlimit(resource.RLIMIT_CPU, (_MAX_CPU_SECONDS, _MAX_CPU_SECONDS))
    os.chdir(sys.argv[1])  # paths are relative from here on, so that messages do not disclose it
    outcome = check_rows(json.loads(Path(ROW_PLAN).read_bytes()))
    write_atomically(Path(ROW_CHECK), outcome.to_json())


def check_rows(fields: dict[str, Any]) -> RowCheck | Failure:
    """Read the rows of a plan of one run, with all checks that a training makes of them."""
    # Imported late: torch takes seconds, and the priority must be low meanwhile.
    from training.errors import TrainingError  # noqa: PLC0415
    from training.service.failure import failure_of  # noqa: PLC0415
    from training.sessions.method_choice import load_rows  # noqa: PLC0415
    from training.settings.plan import check_plan  # noqa: PLC0415

    try:
        plan, (data,) = load_rows(check_plan(fields, origin="the request"))
    except TrainingError as error:
        return failure_of(error)
    (config,) = plan.runs
    parts = {"train": data.train, "validation": data.validation, "test": data.test}
    checked = [
        CheckedPart(name=name, num_rows=len(part), labels=_counts(config, data.labels, part))
        for name, part in parts.items()
        if part
    ]
    if data.unlabeled:
        checked.append(CheckedPart(name="unlabeled", num_rows=len(data.unlabeled), labels=[]))
    return RowCheck(
        task_type=config.task_type,
        method=config.method,
        parts=checked,
        data_summary=list(data.summary),
        warnings=list(data.warnings),
    )


def _counts(config: Any, labels: Any, part: Any) -> list[LabelCount]:
    from training.tasks import definition_of  # noqa: PLC0415 - imports torch, as above

    counts = definition_of(config.task_type).label_counts(labels, part.truths) or {}
    return [LabelCount(label=label, num_rows=count) for label, count in counts.items()]


if __name__ == "__main__":
    main()
