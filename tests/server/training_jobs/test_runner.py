"""The runner by itself: what it does with workers, and with what they have finished."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import anyio
import pytest

from prefixes import BackboneFingerprint, Finding, Prefix
from prefixes.backbone import Backbone
from prefixes.errors import StoreUnavailable
from prefixes.registry import PrefixRegistry, open_registry
from server.errors import DeadlineExceeded, EngineUnavailable, Overloaded, TrainingNotFound
from server.observability.metrics import Metrics
from server.publishing import Publisher
from server.settings import Settings
from server.training_jobs import hang_detection, retries
from server.training_jobs import runner as module
from server.training_jobs.folders import TrainingFolder, TrainingFolders
from server.training_jobs.placement import Placement
from server.training_jobs.records import JobRequest, TrainingJob
from server.training_jobs.runner import TrainingRunner
from server.training_jobs.store import TrainingStore, new_id, training_store
from server.training_jobs.worker import Worker
from tests.factories import make_prefix
from tests.server.rest import TRAINER

pytestmark = pytest.mark.anyio

BUSY: Final = Overloaded("4 texts are waiting", retry_after_seconds=1)
SLOW: Final = DeadlineExceeded("No answer within 60 seconds")
SECONDS: Final = 60
REFUSAL: Final = {"is_success": False, "code": "data_rejected", "detail": "no rows", "errors": []}


class Replayer:
    """Fails as told, one failure after another, the last one again and again."""

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
    """Let a method fail some times before it works; give the failures to come."""
    method = getattr(kind, name)
    failures = [failure] * times

    def fails(*args: Any, **how: Any) -> Any:
        if failures:
            raise failures.pop()
        return method(*args, **how)

    monkeypatch.setattr(kind, name, fails)
    return failures


class Bench:
    """A store with one training that is trained, and not yet published."""

    def __init__(
        self, folder: Path, registry: PrefixRegistry, backbone: BackboneFingerprint
    ) -> None:
        self.settings = Settings(store_folder=folder, max_training_seconds=10, training_threads=4)
        self.trainer = TRAINER
        self.placement = Placement("cpu")
        self.problem: str | None = None
        self.registry = registry
        self.backbone = backbone
        self.store: TrainingStore = training_store(self.settings, registry.database)
        self.id = new_id()
        self.folder = TrainingFolders(folder).of(self.id).path
        (self.folder / "out").mkdir(parents=True)
        (self.folder / "out" / "prefix.safetensors").write_bytes(make_prefix(backbone).to_bytes())
        outcome = {"is_success": True, "metric": "accuracy", "measured_on": "validation",
                   "num_rows": 4, "new": 1.0, "live": None, "warnings": []}  # fmt: skip
        (self.folder / "outcome.json").write_text(json.dumps(outcome))
        self.store.add(self.id, JobRequest("acme", "mood", "live", 0.0, {}))

    def begin_again(self, worker: str) -> None:
        """Let it be trained by a script, in whose `folder` its files are."""
        (self.folder / "outcome.json").unlink()
        script = f"import pathlib, sys, time\nfolder = pathlib.Path(sys.argv[1])\n{worker}"
        self.trainer = replace(TRAINER, command=(sys.executable, "-c", script))

    async def run(
        self, replayer: Replayer, until: Callable[[TrainingJob], bool], *, cancels: bool = False
    ) -> TrainingJob:
        """Run trainings until it is as told; cancel it once it was tried, if told so."""
        publisher = Publisher(self.registry, replayer, self.backbone)
        runner = TrainingRunner(
            self.settings,
            self.trainer,
            self.registry,
            publisher,
            Metrics(),
            placement=self.placement,
            find_problem=lambda: self.problem,
        )
        async with runner.running():
            with anyio.fail_after(SECONDS):
                while not until(found := self.store.find("acme", self.id)):
                    if cancels and replayer.num_calls:
                        self.store.cancel("acme", self.id)
                    await anyio.sleep(0.01)
        return found


@pytest.fixture
def bench(tmp_path: Path, backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(module, "_PAUSES", (0.0, 0.0, 0.0))
    monkeypatch.setattr(module, "_FEW_PAUSES", (0.0, 0.0, 0.0))
    monkeypatch.setattr(module, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(retries, "_PAUSES", (0.0, 0.0, 0.0))
    registry = open_registry(tmp_path)
    registry.ensure_tenant("acme")
    with closing(registry):
        yield Bench(tmp_path, registry, backbone.fingerprint)


async def test_a_busy_server_publishes_a_training_later(bench: Bench) -> None:
    ended = await bench.run(Replayer(BUSY, SLOW, None), lambda one: one.has_ended)
    assert ended.state == "succeeded"
    assert ended.result is not None
    assert ended.result["is_promoted"]


async def test_a_server_that_is_never_less_busy_ends_the_training_and_says_so(bench: Bench) -> None:
    ended = await bench.run(Replayer(BUSY), lambda one: one.has_ended)
    assert ended.state == "failed"
    assert ended.problem is not None
    assert ended.problem["code"] == "training_failed"
    assert "4 texts are waiting" in ended.problem["detail"]


@pytest.mark.parametrize("method", ["is_cancelling", "end", "note_crash"])
async def test_a_database_that_is_away_for_a_while_ends_no_training(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    failures = fail_at_first(monkeypatch, TrainingStore, method, times=3)
    bench.begin_again(
        "if not (folder / 'died').exists():\n"
        "    (folder / 'died').touch()\n"
        "    sys.exit(1)\n"
        "time.sleep(0.2)\n"
        f"(folder / 'outcome.json').write_text({json.dumps(REFUSAL)!r})"
    )
    ended = await bench.run(Replayer(None), lambda one: one.has_ended)
    assert not failures
    assert ended.problem is not None
    assert ended.problem["code"] == "data_rejected"
    assert ended.num_crashes == 1


async def test_what_a_store_could_not_take_is_published_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = fail_at_first(monkeypatch, PrefixRegistry, "publish", times=2)
    ended = await bench.run(Replayer(None), lambda one: one.has_ended)
    assert not failures
    assert ended.state == "succeeded"


async def test_a_store_that_never_takes_it_ends_the_training_and_tells_no_path(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_at_first(monkeypatch, PrefixRegistry, "publish", times=99)
    ended = await bench.run(Replayer(None), lambda one: one.has_ended)
    assert ended.problem is not None
    assert "its store or machine failed" in ended.problem["detail"]
    assert PLACE not in json.dumps(ended.problem)


async def test_a_training_that_waits_to_be_published_can_be_cancelled(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAUSES", (3600.0,))
    ended = await bench.run(Replayer(BUSY), lambda one: one.has_ended, cancels=True)
    assert ended.state == "cancelled"


async def test_what_a_broken_device_could_not_check_is_published_by_the_next_start(
    bench: Bench,
) -> None:
    broken = Replayer(EngineUnavailable("the device failed"))
    left = await bench.run(broken, lambda _: broken.num_calls > 0)
    assert left.state == "running"
    assert (await bench.run(Replayer(None), lambda one: one.has_ended)).state == "succeeded"
    assert broken.num_calls == 1


async def test_a_worker_that_waits_for_a_processor_may_take_longer_than_one_that_has_it(
    bench: Bench,
) -> None:
    bench.settings = bench.settings.model_copy(update={"max_training_seconds": 0.05})
    bench.begin_again(
        "(folder / 'spent.json').write_text('0.01')\n"
        "time.sleep(0.5)\n"
        f"(folder / 'outcome.json').write_text({json.dumps(REFUSAL)!r})"
    )
    ended = await bench.run(Replayer(None), lambda one: one.has_ended)
    assert ended.problem is not None
    assert ended.problem["code"] == "data_rejected"


@pytest.mark.parametrize(("device", "spent"), [("cpu", 42), ("cuda:0", 10.5)])
async def test_a_worker_that_has_taken_its_time_of_a_processor_is_ended(
    bench: Bench, device: str, spent: float
) -> None:
    bench.placement = Placement(device)
    bench.begin_again(f"(folder / 'spent.json').write_text('{spent}')\ntime.sleep(3600)")
    ended = await bench.run(Replayer(None), lambda one: one.has_ended)
    assert ended.problem is not None
    assert ended.problem["code"] == "training_too_long"
    assert "may take 10" in ended.problem["detail"]


async def test_a_live_version_that_cannot_be_read_ends_its_training_and_keeps_nobody_waiting(
    bench: Bench,
) -> None:
    live = make_prefix(bench.backbone, seed=1)
    with bench.registry.store.stage() as staged:
        staged.write(live.to_bytes())
        digest = staged.digest
        bench.registry.publish("acme", "mood", staged, live, alias="live", by="test")
    (blob,) = (bench.settings.store_folder / "blobs").rglob(digest)
    blob.unlink()
    ended = await bench.run(Replayer(None), lambda one: one.has_ended)
    assert ended.problem is not None
    assert ended.problem["status"] == 503


async def test_what_is_not_there_is_not_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAUSES", (3600.0,))
    (bench.folder / "out" / "prefix.safetensors").unlink()
    ended = await bench.run(Replayer(None), lambda one: one.has_ended)
    assert ended.problem is not None
    assert ended.problem["code"] == "internal_error"


async def test_no_training_begins_while_the_engine_has_a_problem(bench: Bench) -> None:
    bench.problem = "the device failed"
    num_looks = 0

    def has_waited(training: TrainingJob) -> bool:
        nonlocal num_looks
        num_looks += 1
        if num_looks == 20:
            assert training.state == "queued"
            bench.problem = None
        return training.has_ended

    assert (await bench.run(Replayer(None), has_waited)).state == "succeeded"


@pytest.mark.parametrize(("kind", "name"), [(TrainingFolder, "begin"), (Worker, "start")])
async def test_what_a_machine_cannot_begin_now_begins_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, kind: type, name: str
) -> None:
    full = OSError(28, "No space left on device")
    failures = fail_at_first(monkeypatch, kind, name, times=2, failure=full)
    bench.begin_again(f"(folder / 'outcome.json').write_text({json.dumps(REFUSAL)!r})")
    ended = await bench.run(Replayer(None), lambda one: one.has_ended)
    assert not failures
    assert ended.problem is not None
    assert ended.problem["code"] == "data_rejected"


async def test_processor_time_is_shared_by_the_threads_of_a_cpu(bench: Bench) -> None:
    bench.begin_again(
        "(folder / 'spent.json').write_text('38')\n"
        "time.sleep(0.5)\n"
        f"(folder / 'outcome.json').write_text({json.dumps(REFUSAL)!r})"
    )
    ended = await bench.run(Replayer(None), lambda one: one.has_ended)
    assert ended.problem is not None
    assert ended.problem["code"] == "data_rejected"


async def test_a_training_goes_on_once_the_disk_has_space_again(bench: Bench) -> None:
    bench.begin_again(
        "attempts = folder / 'attempts'\n"
        "attempts.write_text((attempts.read_text() if attempts.exists() else '') + '.')\n"
        "if len(attempts.read_text()) < 3:\n"
        f"    sys.exit({os.EX_IOERR})\n"
        f"(folder / 'outcome.json').write_text({json.dumps(REFUSAL)!r})"
    )
    ended = await bench.run(Replayer(None), lambda one: one.has_ended)
    assert ended.problem is not None
    assert ended.problem["code"] == "data_rejected"
    assert ended.num_crashes == 0


async def test_a_disk_that_stays_full_ends_a_training_with_503(bench: Bench) -> None:
    bench.begin_again(f"sys.exit({os.EX_IOERR})")
    ended = await bench.run(Replayer(None), lambda one: one.has_ended)
    assert ended.problem is not None
    assert ended.problem["status"] == 503
    assert ended.num_crashes == 0


async def test_a_worker_that_dies_as_it_leaves_has_not_died(bench: Bench) -> None:
    bench.begin_again(f"(folder / 'outcome.json').write_text({json.dumps(REFUSAL)!r})\nsys.exit(1)")
    ended = await bench.run(Replayer(None), lambda one: one.has_ended)
    assert ended.problem is not None
    assert ended.problem["code"] == "data_rejected"
    assert ended.num_crashes == 0


async def test_what_is_of_no_use_after_the_end_is_removed(bench: Bench) -> None:
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
        lambda one: one.has_ended and not any(path.exists() for path in gone),
    )
    assert all(path.exists() for path in kept)


async def test_a_worker_that_hangs_is_replaced_by_another(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hang_detection, "_MOST_IDLE_SECONDS", 1.0)
    bench.begin_again(
        "if not (folder / 'hung').exists():\n"
        "    import signal\n"
        "    signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))\n"
        "    (folder / 'hung').touch()\n"
        "    time.sleep(3600)\n"
        f"(folder / 'outcome.json').write_text({json.dumps(REFUSAL)!r})"
    )
    ended = await bench.run(Replayer(None), lambda one: one.has_ended)
    assert ended.problem is not None
    assert ended.problem["code"] == "data_rejected"
    assert ended.num_crashes == 1


async def test_a_worker_that_works_now_and_then_does_not_hang(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hang_detection, "_MOST_IDLE_SECONDS", 1.0)
    bench.begin_again(
        "for number in range(10):\n"
        "    (folder / 'draft').write_text(str(0.6 * number))\n"
        "    (folder / 'draft').replace(folder / 'spent.json')\n"
        "    time.sleep(0.25)\n"
        f"(folder / 'outcome.json').write_text({json.dumps(REFUSAL)!r})"
    )
    ended = await bench.run(Replayer(None), lambda one: one.has_ended)
    assert ended.problem is not None
    assert ended.problem["code"] == "data_rejected"
    assert ended.num_crashes == 0


async def test_a_worker_is_told_its_device_and_its_share_of_it(bench: Bench) -> None:
    bench.placement = Placement("cuda:0", memory_share=0.25)
    await bench.run(Replayer(None), lambda one: one.has_ended)
    job = json.loads((bench.folder / "job.json").read_text())
    assert (job["plan"]["device"], job["memory_share"]) == ("cuda:0", 0.25)


async def test_a_training_that_ended_long_ago_goes_with_its_folder_and_an_unknown_one_stays(
    bench: Bench,
) -> None:
    unknown = TrainingFolders(bench.settings.store_folder).of(new_id())
    unknown.make()
    os.utime(unknown.path, (0, 0))
    bench.store.end(bench.id, "cancelled")
    quarantined = bench.settings.store_folder / "quarantine" / "trainings" / unknown.path.name
    await bench.run(Replayer(None), lambda _: quarantined.is_dir())
    assert bench.folder.is_dir()
    bench.settings = bench.settings.model_copy(update={"training_retention_days": 1e-9})
    with pytest.raises(TrainingNotFound):
        await bench.run(Replayer(None), lambda _: False)
    assert not bench.folder.exists()
