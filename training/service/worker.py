"""The worker process of one training job: `python -m training.service.worker FOLDER`.

The server and this process share a folder. It begins with `job.json` (the plan, and the version
that is live now) and the labelled rows; this process adds `events.jsonl`, a line whenever there is
something new, `data_summary.json`, how the rows were read, `warnings.json`, what is doubtful about
them as far as it is known, `spent.json`, its seconds of a processor, `out/`, what `run_plan`
writes, and at last `outcome.json`. Exit codes: 0 there is an outcome, 75 stopped and can go on, 74
the disk did not take a file, anything else: it died.

SIGTERM, or the end of standard input, stops it at its next step, with a checkpoint: a server that
dies takes its trainings with it.
"""

import fcntl
import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from training.service.cpu_time import CpuTime

if TYPE_CHECKING:
    from training.learning.run import Run

STOPPED: Final = 75
NO_SPACE: Final = os.EX_IOERR
_SECONDS_BETWEEN_EVENTS: Final = 1.0
_SECONDS_BETWEEN_CHECKPOINTS: Final = 10.0
_SECONDS_TO_STOP: Final = 15.0
_MAX_CHARACTERS: Final = 1000
_NO_MEMORY: Final = (
    "It needs more memory of the GPU than trainings may take: give it a smaller max_length, "
    "batch_size or prefix_length"
)


class Watcher:
    """Tells how rows were read, of doubtful ones, of every evaluation, and of steps once a second.

    Stops the training when told to. Writes into a folder.
    """

    def __init__(self, folder: Path) -> None:
        self._events = folder / "events.jsonl"
        self._summary = folder / "data_summary.json"
        self._warnings = folder / "warnings.json"
        self._stop = threading.Event()
        self._num_evaluations: int | None = None
        self._last = -math.inf

    def stop(self) -> None:
        """Let the training end at its next step."""
        self._stop.set()

    def describe(self, summary: Sequence[str]) -> None:
        """Write down how the rows were read, unless an earlier worker has done so."""
        if not self._summary.exists():
            sentences = [_shortened(one) for one in summary]
            _write_whole(self._summary, sentences)
            self._write("data_summary", {"data_summary": sentences})

    def warn(self, doubts: Sequence[str]) -> None:
        """Write down what is doubtful about the rows, unless an earlier worker has done so."""
        told = json.loads(self._warnings.read_bytes()) if self._warnings.exists() else []
        warnings = [_shortened(doubt) for doubt in doubts]
        if set(warnings) > set(told):
            _write_whole(self._warnings, warnings)
            self._write("warnings", {"warnings": warnings})

    def show(self, runs: "Sequence[Run]") -> None:
        """Write down how far the one run is.

        Raises:
            TrainingStopped: once `stop` was called.
        """
        from training.errors import TrainingStopped  # noqa: PLC0415 - see `main`

        (run,) = runs
        self.warn(run.warnings)
        is_evaluated = self._num_evaluations not in {None, len(run.history)}
        self._num_evaluations = len(run.history)
        if is_evaluated or time.monotonic() - self._last >= _SECONDS_BETWEEN_EVENTS:
            self._last = time.monotonic()
            self._write("evaluation" if is_evaluated else "progress", _progress(run))
        if self._stop.is_set():
            raise TrainingStopped("stopped; it goes on from its checkpoint")

    def _write(self, kind: str, facts: dict[str, Any]) -> None:
        line = json.dumps({"event": kind, **facts}, allow_nan=False)
        # On a full disk an event is lost, which is no reason to end. The first line break ends a
        # line that a full disk or a kill has cut short.
        with suppress(OSError), self._events.open("ab") as file:
            file.write(f"\n{line}\n".encode())


def main() -> None:
    """Train what the folder named on the command line describes."""
    _step_back()
    os.chdir(sys.argv[1])  # from here on names are relative: reports tell nobody where this is
    with Path("lock").open("w", encoding="utf-8") as lock:
        # A worker of a server that was killed may still be about to stop.
        fcntl.flock(lock, fcntl.LOCK_EX)
        watcher = Watcher(Path())
        signal.signal(signal.SIGTERM, lambda *_: watcher.stop())
        threading.Thread(target=_stop_with_parent, args=[watcher], daemon=True).start()
        job = json.loads(Path("job.json").read_text(encoding="utf-8"))
        spent = CpuTime(Path("spent.json"))
        threading.Thread(target=spent.keep_noting, daemon=True).start()
        sys.exit(exit_code(job, watcher))


def exit_code(job: Mapping[str, Any], watcher: Watcher) -> int:
    """Train in the current folder, as `job.json` describes it, and give the code to exit with."""
    from prefixes.errors import StoreUnavailable  # noqa: PLC0415 - needs numpy: see `main`

    try:
        return _run(job, watcher)
    except StoreUnavailable as error:  # no defect of the program: a sentence for the log will do
        sys.stderr.write(f"polyprefix: {error}\n")
        return NO_SPACE


def _run(job: Mapping[str, Any], watcher: Watcher) -> int:
    # Only now, at the lowest priority: importing torch takes seconds.
    import torch  # noqa: PLC0415
    from transformers.utils import logging as transformers_logging  # noqa: PLC0415

    from prefixes.errors import PrefixRejected  # noqa: PLC0415
    from training.errors import TrainingError, TrainingStopped  # noqa: PLC0415
    from training.service.live_comparison import train_and_compare  # noqa: PLC0415
    from training.service.outcome import refusal  # noqa: PLC0415

    torch.set_num_threads(job["num_threads"])
    if job["memory_share"] is not None:
        torch.cuda.set_per_process_memory_fraction(job["memory_share"], job["plan"]["device"])
    transformers_logging.disable_progress_bar()
    try:
        outcome = train_and_compare(
            job["plan"],
            Path("out"),
            live=Path("live.safetensors") if job["has_live"] else None,
            seconds_between_checkpoints=_SECONDS_BETWEEN_CHECKPOINTS,
            watch=watcher.show,
            describe=watcher.describe,
            warn=watcher.warn,
        )
    except TrainingStopped:
        return STOPPED
    except (TrainingError, PrefixRejected) as error:  # others are the operator's, for the log
        outcome = refusal(error)
    except torch.OutOfMemoryError:
        outcome = refusal(TrainingError(_NO_MEMORY))
    _write_whole(Path("outcome.json"), outcome)
    return 0


def _step_back() -> None:
    """Let every other program go first: for a processor, and when memory runs out."""
    os.nice(19)
    # Linux shares processors among sessions first: within its own, niceness would mean nothing.
    for name, value in (("autogroup", "19"), ("oom_score_adj", "1000")):
        with suppress(OSError):  # not Linux, or not in this container
            Path("/proc/self", name).write_text(value, encoding="ascii")


def _stop_with_parent(watcher: Watcher) -> None:
    # Ends when the other end is closed, by whatever. Not `sys.stdin`: Python would fail at its exit
    # over the lock that a thread holds there.
    while os.read(0, 1):
        pass
    watcher.stop()
    time.sleep(_SECONDS_TO_STOP)
    os._exit(STOPPED)


def _progress(run: "Run") -> dict[str, Any]:
    latest = run.history[-1] if run.history else None
    best = run.best
    return {
        "step": run.step,
        "total_steps": run.total_steps,
        "loss": _finite(run.losses[-1]) if run.losses else None,
        "metric": run.config.metric,
        "latest": None if latest is None else _evaluation(latest),
        "best": None if best is None else _evaluation(best),
    }


def _evaluation(evaluation: Any) -> dict[str, Any]:
    return {
        "step": evaluation.step,
        "epoch": evaluation.epoch,
        "train_loss": _finite(evaluation.train_loss),
        "loss": _finite(evaluation.loss),
        "metrics": {name: _finite(value) for name, value in evaluation.metrics.items()},
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _shortened(sentence: str) -> str:
    """Cut a sentence that quotes long labels: who reads lines of events bounds them."""
    is_short = len(sentence) <= _MAX_CHARACTERS
    return sentence if is_short else f"{sentence[:_MAX_CHARACTERS]} ..."


def _write_whole(path: Path, value: Any) -> None:
    from prefixes.atomic import write_atomically  # noqa: PLC0415 - see `main`

    write_atomically(path, json.dumps(value, allow_nan=False))


if __name__ == "__main__":
    main()
