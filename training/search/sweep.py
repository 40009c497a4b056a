"""Sweep: which settings a task tries next, and which of its runs are pruned.

Optuna decides; this module drives it through ask, report and tell. Optuna draws random numbers and
remembers what it was told, so a journal keeps every call. Replayed in the same order, to the same
version with the same seed, the journal restores the same state.
"""

# ruff: noqa: PLC0415 - Optuna is an extra: only a plan with a sweep needs it

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from training.errors import PlanRejected
from training.learning.run import Run
from training.settings.config import TrainConfig
from training.settings.sweep_plan import Range, SweepPlan, with_settings

if TYPE_CHECKING:
    import optuna

EventName = Literal["ask", "report", "judge", "complete", "prune", "diverge"]
Event = tuple[EventName, int, float]
"""An event sent to Optuna. The number is that of a task for `ask`, else of a trial."""

Outcome = Literal["open", "complete", "pruned", "diverged"]

_REDUCTION: Final = 3
"""Successive halving: the best third continues after 1, 3, 9, ... evaluations."""


@dataclass(slots=True, eq=False)
class Trial:
    """One trial of a task: its settings, and what Optuna knows about it."""

    config: TrainConfig
    task: int
    number: int
    settings: dict[str, Any]
    optuna_trial: "optuna.Trial"
    num_reported: int = 0
    outcome: Outcome = "open"


class Sweep:
    """The trials of all tasks of a plan, in the order of their runs.

    Every task has a study of its own. Steps are counted in evaluations, so that trials with
    different batch sizes are compared after the same number of passes over the rows.
    """

    def __init__(self, plan: SweepPlan, tasks: Sequence[TrainConfig]) -> None:
        self.plan = plan
        self.tasks = tuple(tasks)
        self.trials: list[Trial] = []
        self.journal: list[Event] = []
        self._studies = [_open_study(plan) for _ in tasks]

    def replay(self, journal: Iterable[Event]) -> None:
        """Restore the state of a sweep from its journal."""
        for event, number, value in journal:
            self._tell(event, number, value)

    def fill(self) -> list[Trial]:
        """Start trials until enough are open, or all have been started."""
        before = len(self.trials)
        while sum(trial.outcome == "open" for trial in self.trials) < self.plan.together:
            counts = [sum(one.task == task for one in self.trials) for task in self._numbers]
            if min(counts) == self.plan.num_trials:
                break
            self._tell("ask", counts.index(min(counts)))
        return self.trials[before:]

    def observe(self, runs: Sequence[Run]) -> None:
        """Report new evaluations to Optuna, and stop the trials that it prunes.

        All evaluations of a step are reported before any of them is judged.
        """
        pairs = list(enumerate(zip(self.trials, runs, strict=True)))
        open_ = [(number, trial, run) for number, (trial, run) in pairs if trial.outcome == "open"]
        fresh = [one for one in open_ if len(one[2].history) > one[1].num_reported]
        for number, _, run in fresh:
            self._tell("report", number, run.history[-1].metrics[run.config.metric])
        for number, _, run in fresh:
            if run.ended is None and self._tell("judge", number):
                run.ended = f"pruned at step {run.step}: other trials were better"
                self._tell("prune", number)
            elif run.ended is not None and run.best is not None:
                self._tell("complete", number, run.best.metrics[run.config.metric])
        for number, trial, run in open_:
            if run.ended is not None and trial.outcome == "open":
                # Only an infinite loss ends a run between two evaluations. Optuna ignores failed
                # trials, but it should learn from such settings.
                self._tell("diverge", number)

    @property
    def _numbers(self) -> range:
        return range(len(self.tasks))

    def _tell(self, event: EventName, number: int, value: float = 0.0) -> bool:
        """Send an event to Optuna and record it. Returns whether Optuna prunes the trial."""
        self.journal.append((event, number, value))
        if event == "ask":
            self._ask(number)
            return False
        trial = self.trials[number]
        match event:
            case "report":
                trial.num_reported += 1
                trial.optuna_trial.report(value, trial.num_reported)
            case "judge":
                return trial.optuna_trial.should_prune()
            case "complete":
                trial.outcome = "complete"
                self._studies[trial.task].tell(trial.optuna_trial, value)
            case "prune" | "diverge":
                from optuna.trial import TrialState

                trial.outcome = "pruned" if event == "prune" else "diverged"
                self._studies[trial.task].tell(trial.optuna_trial, state=TrialState.PRUNED)
        return False

    def _ask(self, task: int) -> None:
        asked = self._studies[task].ask()
        settings = {name: _suggest(asked, name, entry) for name, entry in self.plan.space.items()}
        base = self.tasks[task]
        variant = f"{base.variant}/trial-{asked.number}".removeprefix("/")
        config = with_settings(base, settings, variant)
        self.trials.append(Trial(config, task, asked.number, settings, asked))


def optuna_version() -> str:
    """Return the version of Optuna.

    Raises:
        PlanRejected: when Optuna is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise PlanRejected(
            "A sweep requires Optuna, which is not installed: run pip install 'polyprefix[sweep]'"
        ) from error
    return str(optuna.__version__)


def _open_study(plan: SweepPlan) -> "optuna.Study":
    optuna_version()
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # trials are reported with the runs
    samplers = {
        "random": optuna.samplers.RandomSampler(seed=plan.seed),
        "tpe": optuna.samplers.TPESampler(seed=plan.seed),
    }
    pruners = {
        "none": optuna.pruners.NopPruner(),
        "median": optuna.pruners.MedianPruner(),
        "successive_halving": optuna.pruners.SuccessiveHalvingPruner(
            min_resource=1, reduction_factor=_REDUCTION
        ),
    }
    study = optuna.create_study(
        direction="maximize",
        # A grid enqueues all its trials, so the sampler is not used.
        sampler=samplers.get(plan.sampler, samplers["random"]),
        pruner=pruners[plan.pruner],
    )
    for point in plan.points() if plan.sampler == "grid" else ():
        study.enqueue_trial(point)
    return study


def _suggest(asked: "optuna.Trial", name: str, entry: Range | Sequence[Any]) -> Any:
    if not isinstance(entry, Range):
        return asked.suggest_categorical(name, entry)
    if entry.is_whole:
        low, high, step = int(entry.low), int(entry.high), int(entry.step or 1)
        return asked.suggest_int(name, low, high, step=step, log=entry.log)
    return asked.suggest_float(name, entry.low, entry.high, step=entry.step, log=entry.log)
