"""PlanRuns: the runs of one phase of a plan, including trials that a sweep starts and stops."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from pydantic import JsonValue

from prefixes import PrefixSpec
from prefixes.backbone import Backbone
from training.data.lessons import Lessons
from training.data.tokenized import SharedRows
from training.examples import TaskData
from training.learning.learner import describe_fitting
from training.learning.run import Run
from training.results.report import Timing
from training.search.record import SweepRecord, choose
from training.search.sweep import Event, Sweep
from training.sessions.checkpoint import Checkpoint
from training.sessions.multitask import SharedPrefix, share
from training.sessions.warm_start import WarmStart
from training.settings.config import TrainConfig
from training.settings.plan import TrainPlan
from training.settings.sweep_plan import with_settings


@dataclass(frozen=True, slots=True, eq=False)
class SelectedRun:
    """A run to keep, with its rows and the origins of its settings, initial prefix and teacher."""

    run: Run
    data: TaskData
    shared: SharedPrefix | None = None
    sweep: SweepRecord | None = None

    @property
    def origins(self) -> dict[str, JsonValue]:
        starting_prefix, teacher = self.run.starting_prefix, self.run.teacher
        return {
            **({} if self.sweep is None else {"sweep": self.sweep.facts()}),
            **({} if self.shared is None else {"multitask": self.shared.facts}),
            **({} if starting_prefix is None else {"start_from": starting_prefix.facts}),
            **({} if teacher is None else {"teacher": teacher.facts}),
        }


@dataclass(slots=True, eq=False)
class PlanRuns:
    """All runs of one phase so far: those of the plan, or the trials of its sweep.

    `runs` grows during a sweep, and `data` are the rows of each run. `shared` is the result of an
    earlier shared phase. `lessons` are those of each task of the plan, None without a teacher.
    """

    backbone: Backbone
    tasks: Sequence[TaskData]
    starts: Mapping[str, WarmStart]
    sweep: Sweep | None
    shared: SharedPrefix | None
    rows: SharedRows
    lessons: Sequence[Lessons | None]
    runs: list[Run] = field(default_factory=list)
    data: list[TaskData] = field(default_factory=list)

    @classmethod
    def begin(
        cls,
        plan: TrainPlan,
        tasks: Sequence[TaskData],
        backbone: Backbone,
        starts: Mapping[str, WarmStart],
        *,
        saved: Checkpoint | None,
        shared: SharedPrefix | None = None,
        lessons: Sequence[Lessons | None] = (),
    ) -> Self:
        """Start the runs of a plan, and restore them from a checkpoint.

        Raises:
            PlanRejected: if a run, or a setting that a sweep may try, does not fit the backbone
                or the initial prefix.
        """
        sweep = None if plan.sweep is None else Sweep(plan.sweep, plan.runs)
        lessons = lessons or [None] * len(tasks)
        course = cls(backbone, tasks, starts, sweep, shared, SharedRows(backbone), lessons)
        if sweep is None:
            for number, config in enumerate(plan.runs):
                course._start(config, number)
        else:
            for config, data in zip(plan.runs, tasks, strict=True):
                for settings in sweep.plan.corners():
                    course._check_fit(with_settings(config, settings, "trial"), data)
            sweep.replay(saved.journal if saved else ())
            for trial in sweep.trials:
                course._start(trial.config, trial.task)
        for run, state in zip(course.runs, shared.learners if shared else (), strict=False):
            run.learner.load_state_dict(state)
        if saved is not None:
            saved.restore(course.runs)
        course._fill()
        return course

    @classmethod
    def begin_sharing(
        cls,
        plan: TrainPlan,
        tasks: Sequence[TaskData],
        backbone: Backbone,
        starts: Mapping[str, WarmStart],
        *,
        saved: Checkpoint | None,
    ) -> Self:
        """Start the runs of a plan for the shared phase. Raises as `begin`."""
        assert plan.multitask is not None
        untaught = [None] * len(tasks)
        course = cls(backbone, tasks, starts, None, None, SharedRows(backbone), untaught)
        for number, config in enumerate(plan.runs):
            course._start(plan.multitask.shared_phase(config), number)
        share(course.runs)
        if saved is not None:
            saved.restore(course.runs)
        return course

    @property
    def journal(self) -> Sequence[Event]:
        return () if self.sweep is None else self.sweep.journal

    def go_on(self) -> None:
        """Between two steps of a sweep: prune poor trials and start the next ones."""
        if self.sweep is not None:
            self.sweep.observe(self.runs)
            self._fill()

    def winners(self) -> list[SelectedRun]:
        """Return the runs to keep: all evaluated ones, or the best of each task in a sweep."""
        if self.sweep is None:
            pairs = zip(self.runs, self.data, strict=True)
            return [
                SelectedRun(run, data, self.shared) for run, data in pairs if run.best is not None
            ]
        return [
            SelectedRun(self.runs[place], self.data[place], self.shared, record)
            for place, record in choose(self.sweep, self.runs)
        ]

    def timing(self, seconds: float) -> Timing:
        """Return the number of rows that all runs have seen, in earlier phases too."""
        before = self.shared.steps if self.shared else 0
        num_rows = sum(run.num_rows_seen + run.num_rows_in(before) for run in self.runs)
        return Timing(seconds, len(self.runs), num_rows)

    def _fill(self) -> None:
        for trial in self.sweep.fill() if self.sweep is not None else ():
            self._start(trial.config, trial.task)

    def _start(self, config: TrainConfig, task: int) -> None:
        data = self.tasks[task]
        spec = self._check_fit(config, data)
        rows = self.rows.of(spec, data, snap=config.snap_to_words)
        run = Run.start(config, rows.data, self.backbone, rows, self.lessons[task])
        if config.start_from is not None:
            run.starting_prefix = self.starts[config.start_from].hand_over(run)
        self.runs.append(run)
        self.data.append(rows.data)

    def _check_fit(self, config: TrainConfig, data: TaskData) -> PrefixSpec:
        spec = describe_fitting(config, data, self.backbone)
        if config.start_from is not None:
            self.starts[config.start_from].check(spec, config.run_name)
        return spec
