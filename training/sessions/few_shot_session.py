"""A session that computes heads without training, with the same files as for prefixes."""

from collections.abc import Sequence
from pathlib import Path

from prefixes.atomic import write_atomically
from prefixes.backbone import Backbone, load_backbone
from training.examples import TaskData
from training.few_shot.features import Progress
from training.few_shot.finish import finish_head
from training.few_shot.fit import fit
from training.results.curves import draw_confusion
from training.results.report import write_few_shot_report
from training.sessions.files import CONFUSION, PREFIX_FILE, REPORT
from training.sessions.phases import Stopwatch
from training.sessions.trained import TrainedPrefix
from training.settings.config import TrainConfig
from training.settings.plan import TrainPlan


def fit_plan(
    plan: TrainPlan,
    output: Path,
    *,
    data: Sequence[TaskData],
    kernel_cache: Path | None = None,
    report: Progress | None = None,
) -> list[TrainedPrefix]:
    """Compute a head for every run of a plan, one after another.

    Args:
        plan: what to compute; all runs have the method `few_shot`.
        output: a folder, created if it is missing. A single run writes into it, several into
            folders of their names.
        data: the rows of each run, as `load_few_rows` reads them.
        kernel_cache: a file with choices of kernels, so that none are measured.
        report: called with the numbers of embedded and of all texts of a run.

    Raises:
        PrefixError: when the backbone cannot be loaded, a file is rejected or the disk fails.
    """
    backbone = load_backbone(
        plan.backbone,
        device=plan.device,
        dtype=plan.dtype,
        linear_kernel=plan.linear_kernel,
        attention_kernel=plan.attention_kernel,
        kernel_cache=kernel_cache,
    )
    return [
        _fit(
            config,
            rows,
            backbone,
            output if len(plan.runs) == 1 else output / config.run_name,
            tokens_per_batch=plan.tokens_per_batch,
            report=report,
        )
        for config, rows in zip(plan.runs, data, strict=True)
    ]


def _fit(
    config: TrainConfig,
    data: TaskData,
    backbone: Backbone,
    folder: Path,
    *,
    tokens_per_batch: int,
    report: Progress | None,
) -> TrainedPrefix:
    stopwatch = Stopwatch.start(0.0)
    fitted = fit(backbone, config, data, tokens_per_batch=tokens_per_batch, report=report)
    finished = finish_head(backbone, config, data, fitted, tokens_per_batch=tokens_per_batch)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / PREFIX_FILE, finished.data)
    if finished.validation.metrics:
        draw_confusion(config.run_name, finished.validation, folder / CONFUSION)
    warnings = (*data.warnings, *fitted.warnings, *finished.warnings)
    write_few_shot_report(
        folder / REPORT,
        config,
        data,
        finished,
        backbone=backbone,
        seconds=stopwatch.seconds,
        warnings=warnings,
    )
    return TrainedPrefix(config, data, folder / PREFIX_FILE, finished, warnings)
