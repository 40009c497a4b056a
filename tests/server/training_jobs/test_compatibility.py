"""Job folders and rows that an earlier version wrote; the files are in tests/data/training_jobs."""

import json
import shutil
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from sqlalchemy import text

from prefixes.registry import open_registry
from server.settings import Settings
from server.training_jobs.folders import TrainingFolder
from server.training_jobs.store import training_store
from tests.prefixes.holding import hold
from training.errors import TrainingStopped
from training.service.execution import run_job
from training.service.protocol.messages import Failure, Job, Success
from training.service.protocol.tenant_config import TenantConfig
from training.service.protocol.worker import WorkerExitCode
from training.service.reporter import JobReporter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.learning.base_run import BaseRun

FOLDERS: Final = Path(__file__).parents[2] / "data" / "training_jobs"


def test_a_finished_job_is_read_unchanged() -> None:
    folder = TrainingFolder(FOLDERS / "succeeded")
    job, outcome, progress = folder.job(), folder.outcome(), folder.last_progress()
    assert job is not None
    assert (job.live_version, job.has_live, job.memory_share, job.num_threads) == (1, True, None, 1)
    assert job.plan.runs[0]["initialisation"] == "noise"
    assert isinstance(outcome, Success)
    assert (outcome.measured_on, outcome.num_rows, outcome.new, outcome.live) == (
        *("validation", 6),
        *(0.5, 0.5),
    )
    assert len(outcome.warnings) == 3
    assert len(folder.warnings()) == 2
    assert len(folder.data_summary()) == 2
    assert folder.cpu_seconds() == pytest.approx(13.153806559)
    assert progress is not None
    assert progress.members["step"] == progress.members["total_steps"] == 14


def test_events_keep_their_members() -> None:
    lines = (FOLDERS / "succeeded" / "events.jsonl").read_text().splitlines()
    written = [json.loads(line) for line in lines if line]
    events = [stored.event for stored in TrainingFolder(FOLDERS / "succeeded").events(0)]
    assert [{"event": event.kind, **event.members} for event in events] == written
    assert b"".join(event.lines() for event in events).decode().splitlines() == lines


def test_a_failed_job_is_read_unchanged() -> None:
    outcome = TrainingFolder(FOLDERS / "failed").outcome()
    assert isinstance(outcome, Failure)
    assert outcome.code == "data_rejected"
    assert [error.field for error in outcome.errors] == ["train, line 3"]


@pytest.mark.parametrize("name", ["succeeded", "failed"])
def test_jobs_and_outcomes_are_written_as_before(name: str) -> None:
    folder = TrainingFolder(FOLDERS / name)
    job, outcome = folder.job(), folder.outcome()
    assert job is not None
    assert outcome is not None
    assert job.to_json() == (folder.path / "job.json").read_text()
    assert outcome.to_json() == (folder.path / "outcome.json").read_text()


def test_a_stopped_job_resumes_from_its_checkpoint(
    tmp_path: Path, backbone_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = TrainingFolder(tmp_path / "job")
    shutil.copytree(FOLDERS / "stopped", folder.path)
    monkeypatch.chdir(folder.path)
    before = folder.last_progress()
    found = folder.job()
    assert before is not None
    assert found is not None
    plan = found.plan.model_copy(update={"backbone": str(backbone_folder)})
    job = Job.parse(found.model_copy(update={"plan": plan}).to_json().encode())

    class Stopping(JobReporter):
        def report_progress(self, runs: "Sequence[BaseRun]") -> None:
            self.stop()
            with pytest.raises(TrainingStopped):
                super().report_progress(runs)
            raise TrainingStopped("seen")

    assert run_job(job, Stopping(Path())) == WorkerExitCode.STOPPED
    after = folder.last_progress()
    assert after is not None
    assert after != before
    assert after.members["step"] >= before.members["step"]


def test_a_queued_job_is_claimed_with_the_settings_that_were_sent(tmp_path: Path) -> None:
    config = {"epochs": 2, "initialisation": "noise", "labels": ["no", "yes"]}
    registry = open_registry(tmp_path)
    with closing(registry):
        registry.ensure_tenant("acme")
        with registry.database.write() as connection:
            connection.execute(
                text(
                    "INSERT INTO trainings (id, tenant_id, task, alias, margin, config, state, "
                    "is_cancelling, num_crashes, created_at) SELECT '19ac1d2e3f40a1b2c3d4e5f6', "
                    "id, 'mood', 'live', 0.01, :config, 'queued', false, 0, "
                    "'2026-11-28 23:39:17.000000' FROM tenants WHERE name = 'acme'"
                ),
                {"config": json.dumps(config)},
            )
        job = training_store(Settings(store_folder=tmp_path), registry.database).claim(hold)
    assert job is not None
    assert (job.request.tenant, job.request.task, job.request.margin) == ("acme", "mood", 0.01)
    assert TenantConfig.model_validate(dict(job.request.config)).model_fields_set == {
        *("epochs", "initialization", "labels"),
    }
