"""Two runners of batch files that share a database and a store folder."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from prefixes.errors import StoreUnavailable
from prefixes.quarantine import Quarantine
from prefixes.registry import PrefixRegistry, open_registry
from server.batch_files.answering import AnsweredRows
from server.batch_files.folders import BatchFolders
from server.batch_files.input_rows import InputRow
from server.batch_files.models import FixedModels
from server.batch_files.pacing import Pacer
from server.batch_files.records import BatchFile, BatchRequest, RunningState
from server.batch_files.requeueing import requeue_held
from server.batch_files.results import ResultLine
from server.batch_files.runner import BatchRunner
from server.batch_files.store import BatchStore, batch_store
from server.job_ids import new_id
from server.leases import ServerLease
from server.observability.metrics import Metrics
from server.settings import Settings
from tests.prefixes.holding import expire_leases
from tests.server.doubles import until

pytestmark = pytest.mark.anyio

_NUM_ROWS = 40


class Answerer:
    """Answers rows with their index and its name; stands still before a row until `resume`."""

    def __init__(self, name: str, *, stop_at: int | None = None) -> None:
        self.name = name
        self.stop_at = stop_at
        self.resume = asyncio.Event()

    async def fix_models(self, batch: BatchFile, names: frozenset[str | None]) -> FixedModels:
        return FixedModels()

    async def answer(
        self,
        rows: Sequence[InputRow],
        first: int,
        *,
        batch: BatchFile,
        models: FixedModels,
        state: RunningState,
    ) -> AnsweredRows:
        if self.stop_at is not None and first >= self.stop_at:
            await self.resume.wait()
        lines = [{"index": first + number, "by": self.name} for number in range(len(rows))]
        data = [ResultLine(f"{json.dumps(line)}\n".encode(), is_failed=False) for line in lines]
        return AnsweredRows(data, 0.0)


class Server:
    """The lease and the runner of one server."""

    def __init__(self, registry: PrefixRegistry, folder: Path, answerer: Answerer) -> None:
        settings = Settings(store_folder=folder, num_batches=1)
        metrics = Metrics()
        self.lease = ServerLease(
            registry.database,
            {"batches": requeue_held},
            metrics,
            seconds=60,
            lock_folder=folder / answerer.name,  # as on different machines
        )
        self.runner = BatchRunner(
            settings,
            registry.database,
            metrics,
            lease=self.lease,
            answerer=answerer,
            pacer=Pacer(lambda _: True, max_rows=4),
            find_problem=lambda: None,
        )


@pytest.fixture
def registry(tmp_path: Path, database_url: str | None) -> Iterator[PrefixRegistry]:
    opened = open_registry(tmp_path, database_url=database_url)
    opened.ensure_tenant("acme")
    yield opened
    opened.close()


async def test_a_server_that_stood_still_writes_no_results_after_another_one_took_over(
    registry: PrefixRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("server.batch_files.pacing._QUIET_CHECKPOINT_SECONDS", 0.0)
    store = batch_store(Settings(store_folder=tmp_path), registry.database)
    batch = new_id()
    folder = BatchFolders(tmp_path).of(batch)
    folder.make()
    folder.rows("jsonl").write_bytes(b'{"text": "good"}\n' * _NUM_ROWS)
    store.add(batch, BatchRequest("acme", "mood", {}, "jsonl"), 0)
    slow, quick = Answerer("slow", stop_at=8), Answerer("quick")
    first, second = Server(registry, tmp_path, slow), Server(registry, tmp_path, quick)
    async with first.runner.running():
        await until(lambda: store.find("acme", batch).checkpoint.num_done == 8)
        async with second.runner.running():
            expire_leases(registry.database)
            await asyncio.to_thread(second.lease.turn)
            await until(lambda: store.find("acme", batch).is_finished)
            slow.resume.set()
            await asyncio.to_thread(first.lease.turn)
            await until(lambda: "a batch file stops here" in caplog.text)
    found = store.find("acme", batch)
    assert (found.state, found.checkpoint.num_done) == ("succeeded", _NUM_ROWS)
    lines = [json.loads(line) for line in folder.results.read_bytes().splitlines()]
    assert [line["index"] for line in lines] == list(range(_NUM_ROWS))
    assert [line["by"] for line in lines] == ["slow"] * 8 + ["quick"] * (_NUM_ROWS - 8)


async def test_a_database_that_is_unavailable_at_the_start_loses_no_file(
    registry: PrefixRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = batch_store(Settings(store_folder=tmp_path), registry.database)
    batch = new_id()
    folder = BatchFolders(tmp_path).of(batch)
    folder.make()
    folder.rows("jsonl").write_bytes(b'{"text": "good"}\n' * _NUM_ROWS)
    Quarantine(tmp_path / "quarantine" / "batches").add(folder.path)
    store.add(batch, BatchRequest("acme", "mood", {}, "jsonl"), 0)
    failures = [StoreUnavailable("the database is away")]
    ids = BatchStore.ids

    def ids_once_available(self: BatchStore) -> frozenset[str]:
        if failures:
            raise failures.pop()
        return ids(self)

    monkeypatch.setattr(BatchStore, "ids", ids_once_available)
    async with Server(registry, tmp_path, Answerer("only")).runner.running():
        await until(lambda: store.find("acme", batch).is_finished)
    assert not failures
    assert store.find("acme", batch).checkpoint.num_done == _NUM_ROWS
