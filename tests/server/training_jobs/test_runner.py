"""The runner by itself: what it does with workers, and with what they have finished."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from prefixes import BackboneFingerprint, Finding, Prefix
from prefixes.backbone import Backbone
from prefixes.errors import StoreUnavailable
from prefixes.registry import (
    COMMAND_LINE,
    Actor,
    LimitStore,
    PrefixRegistry,
    Tenants,
    open_registry,
)
from prefixes.registry.limits import LimitChanges
from prefixes.registry.tables import now
from server.errors import DeadlineExceeded, EngineUnavailable, Overloaded, TrainingNotFound
from server.job_ids import new_id
from server.leases import ServerLease
from server.observability.metrics import Metrics
from server.publishing import Publisher
from server.settings import Settings
from server.training_jobs.folders import TrainingFolder, TrainingFolders
from server.training_jobs.hang_detection import MAX_IDLE_SECONDS, MIN_CPU_SECONDS, CpuTimeMonitor
from server.training_jobs.placement import Placement
from server.training_jobs.records import JobRequest, TrainingJob
from server.training_jobs.requeueing import requeue_held
from server.training_jobs.retries import HOUR_OF_PAUSES
from server.training_jobs.runner import TrainingRunner
from server.training_jobs.store import TrainingStore, training_store
from tests.factories import make_prefix
from tests.prefixes.holding import expire_leases
from tests.server.doubles import until
from tests.server.training_jobs.fakes import FakeTime, FakeWorkers, Script
from training.service.protocol.messages import Failure, Success
from training.service.protocol.worker import WorkerExitCode

pytestmark = pytest.mark.anyio

BUSY: Final = Overloaded("4 texts are waiting", retry_after_seconds=1)
SLOW: Final = DeadlineExceeded("No answer within 60 seconds")
DISK_FULL: Final = OSError(28, "No space left on device")
FAILURE: Final = Failure(code="data_rejected", detail="no rows", errors=[])


class Replayer:
    """Raises the given failures in turn, then repeats the last."""

    def __init__(self, *failures: Exception | None) -> None:
        self.failures = failures
        self.num_calls = 0

    async def replay(self, prefix: Prefix, digest: str) -> tuple[Finding, ...]:
        failure = self.failures[min(self.num_calls, len(self.failures) - 1)]
        self.num_calls += 1
        if failure is not None:
            raise failure
        return ()


PLACE: Final = "/var/lib/secret"
LOCKED: Final = StoreUnavailable(f"{PLACE} is locked")


def fail_at_first(
    monkeypatch: pytest.MonkeyPatch,
    kind: type,
    name: str,
    *,
    times: int,
    failure: Exception = LOCKED,
) -> list[Exception]:
    """Make a method raise `failure` for its first `times` calls; return the failures still to be
    raised.
    """
    method = getattr(kind, name)
    failures = [failure] * times

    def fails(*args: Any, **how: Any) -> Any:
        if failures:
            raise failures.pop()
        return method(*args, **how)

    monkeypatch.setattr(kind, name, fails)
    return failures


def finish(script: Callable[[Path], object] = lambda _: None) -> Script:
    """A worker that does something, and writes a failure as the outcome."""

    async def work(folder: Path) -> int:
        done = script(folder)
        if isinstance(done, Awaitable):
            await done
        (folder / "outcome.json").write_text(FAILURE.to_json())
        return WorkerExitCode.DONE

    return work


def leave(code: int) -> Script:
    """A worker that exits at once, with a code and without an outcome."""

    async def work(_: Path) -> int:
        return code

    return work


async def hang(_: Path) -> int:
    """A worker that does nothing."""
    await asyncio.Event().wait()
    return WorkerExitCode.DONE


def note_cpu_seconds(folder: Path, seconds: float) -> None:
    (folder / "spent.json").write_text(str(seconds))


class Bench:
    """A store with one training that is trained, and not yet published."""

    def __init__(
        self, folder: Path, registry: PrefixRegistry, backbone: BackboneFingerprint
    ) -> None:
        self.settings = Settings(store_folder=folder, max_training_seconds=10, training_threads=4)
        self.time = FakeTime()
        self.workers = FakeWorkers(self.time)
        self.placement = Placement("cpu")
        self.find_problem: Callable[[], str | None] = lambda: None
        self.registry = registry
        self.backbone = backbone
        self.store: TrainingStore = training_store(self.settings, registry.database)
        self.id = new_id()
        self.folder = TrainingFolders(folder).of(self.id).path
        (self.folder / "out").mkdir(parents=True)
        (self.folder / "out" / "prefix.safetensors").write_bytes(make_prefix(backbone).to_bytes())
        outcome = Success(
            metric="accuracy", measured_on="validation", num_rows=4, new=1.0, live=None, warnings=[]
        )
        (self.folder / "outcome.json").write_text(outcome.to_json())
        self.store.add(self.id, JobRequest("acme", "mood", "live", 0.0, {}))

    def train_with(self, *scripts: Script) -> None:
        """Let it be trained by these workers, one after another."""
        (self.folder / "outcome.json").unlink()
        self.workers.scripts = list(scripts)

    def is_published(self) -> bool:
        return bool(self.registry.list_prefixes(reader="acme"))

    def cancel(self) -> None:
        self.store.cancel("acme", self.id)

    def server(self, locks: str) -> ServerLease:
        return ServerLease(
            self.registry.database,
            {"trainings": requeue_held},
            Metrics(),
            seconds=60,
            lock_folder=self.settings.store_folder / locks,
        )

    async def run(
        self,
        replayer: Replayer,
        is_reached: Callable[[TrainingJob], bool] = lambda job: job.is_finished,
    ) -> TrainingJob:
        """Run trainings until `is_reached` returns true for this one."""
        lease = self.server("servers")
        runner = TrainingRunner(
            self.settings,
            self.registry,
            Publisher(self.registry, replayer, [self.backbone]),
            Metrics(),
            lease=lease,
            placement=self.placement,
            find_problem=self.find_problem,
            start_worker=self.workers,
            clock=self.time.clock,
        )
        async with lease.running(), runner.running():
            await until(lambda: is_reached(self.store.find("acme", self.id)), seconds=60)
            return self.store.find("acme", self.id)


@pytest.fixture
def bench(tmp_path: Path, backbone: Backbone) -> Iterator[Bench]:
    registry = open_registry(tmp_path)
    registry.ensure_tenant("acme")
    with closing(registry):
        yield Bench(tmp_path, registry, backbone.fingerprint)


async def test_a_busy_server_publishes_a_training_later(bench: Bench) -> None:
    ended = await bench.run(Replayer(BUSY, SLOW, None))
    assert ended.state == "succeeded"
    assert ended.result is not None
    assert ended.result["is_promoted"]


async def test_a_worker_gets_the_nice_value_of_the_settings(bench: Bench) -> None:
    bench.settings = bench.settings.model_copy(update={"training_niceness": 7})
    bench.train_with(finish())
    await bench.run(Replayer(None))
    assert bench.workers.niceness == 7


async def test_a_server_that_stays_busy_fails_the_training_with_the_reason(bench: Bench) -> None:
    ended = await bench.run(Replayer(BUSY))
    assert ended.state == "failed"
    assert ended.problem is not None
    assert ended.problem["code"] == "training_failed"
    assert "4 texts are waiting" in ended.problem["detail"]


@pytest.mark.parametrize("method", ["ids", "is_cancelling", "finish", "note_crash"])
async def test_a_database_that_is_unavailable_for_a_while_ends_no_training(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    failures = fail_at_first(monkeypatch, TrainingStore, method, times=3)

    async def wait_for_failures(_: Path) -> None:
        await until(lambda: method != "is_cancelling" or not failures)

    bench.train_with(leave(1), finish(wait_for_failures))
    ended = await bench.run(Replayer(None))
    assert not failures
    assert ended.problem is not None
    assert ended.problem["code"] == "data_rejected"
    assert ended.num_crashes == 1


async def test_a_prefix_is_published_once_the_store_is_available_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = fail_at_first(monkeypatch, PrefixRegistry, "publish", times=2)
    ended = await bench.run(Replayer(None))
    assert not failures
    assert ended.state == "succeeded"


async def test_a_store_that_stays_unavailable_fails_the_training_without_showing_a_path(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_at_first(monkeypatch, PrefixRegistry, "publish", times=99)
    ended = await bench.run(Replayer(None))
    assert ended.problem is not None
    assert "its store or its machine failed" in ended.problem["detail"]
    assert PLACE not in json.dumps(ended.problem)


async def test_a_training_that_waits_to_be_published_can_be_cancelled(bench: Bench) -> None:
    replayer = Replayer(BUSY)
    num_attempts = HOUR_OF_PAUSES.index(60) + 1
    paused_at: list[float] = []
    slept: list[float] = []

    def cancel_within_the_first_minute_of_pause(seconds: float) -> None:
        slept.append(seconds)
        if replayer.num_calls == num_attempts:
            paused_at.append(bench.time.now)
            if bench.time.now > paused_at[0] + 5:
                bench.cancel()

    bench.time.speed = 1
    bench.time.on_sleep = cancel_within_the_first_minute_of_pause
    ended = await bench.run(replayer)
    assert ended.state == "cancelled"
    assert replayer.num_calls == num_attempts  # it was not tried again after the pause
    assert max(slept) < 60  # and nothing slept for the whole pause


async def test_a_prefix_that_a_failed_device_could_not_check_is_published_by_the_next_start(
    bench: Bench,
) -> None:
    broken = Replayer(EngineUnavailable("the device failed"))
    bench.find_problem = lambda: "the device failed" if broken.num_calls else None
    left = await bench.run(broken, lambda job: broken.num_calls > 0 and job.state == "queued")
    assert left.holder is None
    bench.find_problem = lambda: None
    assert (await bench.run(Replayer(None))).state == "succeeded"
    assert broken.num_calls == 1


async def test_a_server_that_has_lost_a_training_publishes_nothing(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    other = bench.server("of another machine")

    class LateReplayer(Replayer):
        async def replay(self, prefix: Prefix, digest: str) -> tuple[Finding, ...]:
            expire_leases(bench.registry.database)
            other.turn()
            return await super().replay(prefix, digest)

    late = LateReplayer(None)
    bench.find_problem = lambda: "it stands still" if late.num_calls else None
    lost = await bench.run(late, lambda _: "a training stops here" in caplog.text)
    assert (lost.state, lost.is_taken_over) == ("queued", True)
    assert not bench.is_published()
    bench.find_problem = lambda: None
    assert (await bench.run(Replayer(None))).state == "succeeded"
    assert bench.is_published()


async def test_a_worker_of_a_lost_training_is_stopped(bench: Bench) -> None:
    other = bench.server("of another machine")
    stopped = asyncio.Event()

    async def work(folder: Path) -> int:
        expire_leases(bench.registry.database)
        other.turn()
        try:
            return await hang(folder)
        finally:
            stopped.set()

    bench.train_with(work, finish())
    assert (await bench.run(Replayer(None))).state == "failed"
    assert stopped.is_set()
    assert bench.workers.num_started == 2


async def test_time_without_a_processor_is_not_charged(bench: Bench) -> None:
    async def wait(folder: Path) -> None:
        note_cpu_seconds(folder, 9)
        await until(lambda: bench.time.now >= 60)

    bench.train_with(finish(wait))
    ended = await bench.run(Replayer(None))
    assert ended.problem is not None
    assert ended.problem["code"] == "data_rejected"
    assert bench.time.now >= 60 > bench.settings.max_training_seconds


@pytest.mark.parametrize(("device", "spent"), [("cpu", 42), ("cuda:0", 10.5)])
async def test_a_worker_that_has_used_its_cpu_time_is_stopped(
    bench: Bench, device: str, spent: float
) -> None:
    async def work(folder: Path) -> int:
        note_cpu_seconds(folder, spent)
        return await hang(folder)

    bench.placement = Placement(device)
    bench.train_with(work)
    ended = await bench.run(Replayer(None))
    assert ended.problem is not None
    assert ended.problem["code"] == "training_too_long"
    assert "the limit is 10." in ended.problem["detail"]


async def test_a_training_pauses_while_its_tenant_has_no_cpu_time(bench: Bench) -> None:
    def limit(seconds: float | None) -> None:
        limits = LimitStore(bench.registry.database)
        changes: LimitChanges = {"training_cpu_seconds_per_day": seconds}
        limits.change_tenant("acme", changes, by=COMMAND_LINE)

    async def work(folder: Path) -> int:
        note_cpu_seconds(folder, 3)
        return await hang(folder)

    limit(2)
    bench.train_with(work, finish())
    paused = await bench.run(
        Replayer(None), lambda job: job.state == "queued" and bench.workers.num_started == 1
    )
    assert (paused.state, bench.workers.num_started) == ("queued", 1)
    limit(None)
    ended = await bench.run(Replayer(None))
    assert (ended.is_finished, bench.workers.num_started) == (True, 2)


async def test_a_training_whose_version_has_no_room_fails_before_a_worker_starts(
    bench: Bench,
) -> None:
    limits = LimitStore(bench.registry.database)
    limits.change_tenant("acme", {"max_versions": 0}, by=COMMAND_LINE)
    bench.train_with(hang)
    ended = await bench.run(Replayer(None))
    assert ended.problem is not None
    assert (ended.problem["status"], ended.problem["code"]) == (403, "quota_exceeded")
    assert bench.workers.num_started == 0


async def test_a_live_version_that_cannot_be_read_fails_its_training(
    bench: Bench,
) -> None:
    live = make_prefix(bench.backbone, seed=1)
    with bench.registry.store.stage() as staged:
        staged.write(live.to_bytes())
        digest = staged.digest
        bench.registry.publish("acme", "mood", staged, live, alias="live", by=Actor("test"))
    (blob,) = (bench.settings.store_folder / "blobs").rglob(digest)
    blob.unlink()
    ended = await bench.run(Replayer(None))
    assert ended.problem is not None
    assert ended.problem["status"] == 503


async def test_a_missing_file_is_not_waited_for(bench: Bench) -> None:
    (bench.folder / "out" / "prefix.safetensors").unlink()
    ended = await bench.run(Replayer(None))
    assert ended.problem is not None
    assert ended.problem["code"] == "internal_error"
    assert bench.time.now < 3600


async def test_no_training_starts_while_the_engine_has_a_problem(bench: Bench) -> None:
    states: list[str] = []

    def find_problem() -> str | None:
        states.append(bench.store.find("acme", bench.id).state)
        return "the device failed" if len(states) < 20 else None

    bench.find_problem = find_problem
    assert (await bench.run(Replayer(None))).state == "succeeded"
    assert set(states[:20]) == {"queued"}


async def test_a_job_that_cannot_be_written_now_starts_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = fail_at_first(monkeypatch, TrainingFolder, "begin", times=2, failure=DISK_FULL)
    bench.train_with(finish())
    ended = await bench.run(Replayer(None))
    assert not failures
    assert ended.problem is not None
    assert ended.problem["code"] == "data_rejected"


async def test_a_worker_that_cannot_be_started_now_is_started_later(bench: Bench) -> None:
    bench.workers.failures = [DISK_FULL, DISK_FULL]
    bench.train_with(finish())
    ended = await bench.run(Replayer(None))
    assert bench.workers.num_started == 1
    assert ended.problem is not None
    assert ended.problem["code"] == "data_rejected"


async def test_cpu_time_is_divided_by_the_threads_that_share_the_work(bench: Bench) -> None:
    async def wait(folder: Path) -> None:
        note_cpu_seconds(folder, 38)
        await until(lambda: bench.time.now >= 60)

    bench.train_with(finish(wait))
    ended = await bench.run(Replayer(None))
    assert ended.problem is not None
    assert ended.problem["code"] == "data_rejected"


async def test_a_training_resumes_once_the_disk_has_space_again(bench: Bench) -> None:
    full = leave(WorkerExitCode.DISK_ERROR)
    bench.train_with(full, full, finish())
    ended = await bench.run(Replayer(None))
    assert ended.problem is not None
    assert ended.problem["code"] == "data_rejected"
    assert ended.num_crashes == 0


async def test_a_disk_that_stays_full_fails_a_training_with_503(bench: Bench) -> None:
    bench.train_with(leave(WorkerExitCode.DISK_ERROR))
    ended = await bench.run(Replayer(None))
    assert ended.problem is not None
    assert ended.problem["status"] == 503
    assert ended.num_crashes == 0
    assert bench.time.now >= 3600


async def test_a_worker_that_crashes_at_its_exit_has_not_crashed(bench: Bench) -> None:
    async def work(folder: Path) -> int:
        await finish()(folder)
        return 1

    bench.train_with(work)
    ended = await bench.run(Replayer(None))
    assert ended.problem is not None
    assert ended.problem["code"] == "data_rejected"
    assert ended.num_crashes == 0


async def test_files_that_a_finished_training_does_not_need_are_removed(bench: Bench) -> None:
    kept = [bench.folder / "out" / "report.json", bench.folder / "events.jsonl"]
    gone = [
        bench.folder / "train.csv",
        bench.folder / "test.csv",
        bench.folder / "live.safetensors",
        bench.folder / "out" / "checkpoint.pt",
    ]
    for path in (*kept, *gone):
        path.write_bytes(b"")
    await bench.run(
        Replayer(None),
        lambda one: one.is_finished and not any(path.exists() for path in gone),
    )
    assert all(path.exists() for path in kept)


async def test_a_worker_that_hangs_is_replaced_by_another(bench: Bench) -> None:
    bench.train_with(hang, finish())
    ended = await bench.run(Replayer(None))
    assert ended.problem is not None
    assert ended.problem["code"] == "data_rejected"
    assert ended.num_crashes == 1
    assert bench.time.now >= MAX_IDLE_SECONDS


async def test_a_worker_that_was_stopped_by_somebody_else_is_replaced(bench: Bench) -> None:
    bench.train_with(leave(WorkerExitCode.STOPPED), finish())
    ended = await bench.run(Replayer(None))
    assert ended.problem is not None
    assert ended.problem["code"] == "data_rejected"
    assert ended.num_crashes == 0


async def test_a_second_crash_fails_the_training(bench: Bench) -> None:
    bench.train_with(leave(-9))
    ended = await bench.run(Replayer(None))
    assert ended.problem is not None
    assert ended.problem["code"] == "training_failed"
    assert "-9" in ended.problem["detail"]
    assert ended.num_crashes == bench.workers.num_started == 2


def test_a_worker_that_works_now_and_then_does_not_hang(tmp_path: Path) -> None:
    time = FakeTime()
    monitor = CpuTimeMonitor(TrainingFolder(tmp_path), time.clock, max_seconds=60, num_threads=1)
    for number in range(10):
        note_cpu_seconds(tmp_path, (number + 1) * MIN_CPU_SECONDS)
        assert not monitor.is_hung()
        time.now += MAX_IDLE_SECONDS - 1
        assert not monitor.is_hung()
    time.now += 1
    assert monitor.is_hung()


async def test_a_job_names_the_device_and_the_share_of_its_memory(bench: Bench) -> None:
    bench.placement = Placement("cuda:0", memory_share=0.25)
    await bench.run(Replayer(None))
    job = json.loads((bench.folder / "job.json").read_text())
    assert (job["plan"]["device"], job["memory_share"]) == ("cuda:0", 0.25)


async def test_an_old_training_is_removed_with_its_folder_and_an_unknown_folder_is_kept(
    bench: Bench,
) -> None:
    unknown = TrainingFolders(bench.settings.store_folder).of(new_id())
    unknown.make()
    os.utime(unknown.path, (0, 0))
    bench.store.cancel("acme", bench.id)
    quarantined = bench.settings.store_folder / "quarantine" / "trainings" / unknown.path.name
    await bench.run(Replayer(None), lambda _: quarantined.is_dir())
    assert bench.folder.is_dir()
    bench.settings = bench.settings.model_copy(update={"training_retention_days": 1e-9})
    with pytest.raises(TrainingNotFound):
        await bench.run(Replayer(None), lambda _: False)
    assert not bench.folder.exists()


async def test_a_deleted_tenant_is_removed_with_its_training_after_the_grace_period(
    bench: Bench,
) -> None:
    tenants = Tenants(bench.registry.database)
    tenants.delete("acme", by=COMMAND_LINE)
    await bench.run(Replayer(None), lambda training: training.state == "cancelled")
    assert tenants.find("acme").state == "deleted"
    bench.settings = bench.settings.model_copy(update={"deleted_tenant_days": 0.0})
    with pytest.raises(TrainingNotFound):
        await bench.run(Replayer(None), lambda _: False)
    await until(lambda: tenants.deleted_before(now()) == ())
    assert not bench.folder.exists()
