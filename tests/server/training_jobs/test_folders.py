"""The server reads what a worker writes."""

import os
import threading
import time
from pathlib import Path

import pytest

from server.training_jobs.folders import TrainingFolder, TrainingFolders
from training.service.cpu_time import CpuTime
from training.service.protocol.messages import Failure
from training.service.reporter import JobReporter


def test_warnings_are_reported_once_by_several_workers_and_are_not_progress(
    tmp_path: Path,
) -> None:
    folder = TrainingFolder(tmp_path)
    assert folder.warnings() == []
    first = JobReporter(tmp_path)
    first.report_warnings(())
    first.report_warnings(("rows repeat",))
    first.report_warnings(("rows repeat", "texts are cut off"))
    second = JobReporter(tmp_path)
    second.report_warnings(("rows repeat",))
    assert folder.warnings() == ["rows repeat", "texts are cut off"]
    told = [(one.event.kind, one.event.members["warnings"]) for one in folder.events(0)]
    assert told == [("warnings", ["rows repeat"]), ("warnings", folder.warnings())]
    assert folder.last_progress() is None


def test_the_data_summary_is_reported_once_by_several_workers(tmp_path: Path) -> None:
    folder = TrainingFolder(tmp_path)
    assert folder.data_summary() == []
    sentences = ["train: 2 rows", "x" * 1_000_000]
    for _ in range(2):
        JobReporter(tmp_path).report_data_summary(sentences)
    (stored,) = folder.events(0)
    event = stored.event
    assert (event.kind, event.members) == ("data_summary", {"data_summary": folder.data_summary()})
    assert folder.data_summary()[0] == sentences[0]
    assert len(folder.data_summary()[1]) < 2000
    assert folder.last_progress() is None


def test_half_of_a_surrogate_pair_in_an_outcome_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "outcome.json").write_text(
        '{"is_success": false, "code": "data_rejected", "detail": "found \\ud800", "errors": []}'
    )
    outcome = TrainingFolder(tmp_path).outcome()
    assert isinstance(outcome, Failure)
    assert outcome.detail == "found \ufffd"
    assert "\\ufffd" in outcome.to_json()


def test_a_warning_that_quotes_a_long_label_is_cut(tmp_path: Path) -> None:
    JobReporter(tmp_path).report_warnings(("x" * 1_000_000,))
    (stored,) = TrainingFolder(tmp_path).events(0)
    assert len(stored.event.members["warnings"][0]) < 2000


def test_cpu_time_adds_up_over_workers(tmp_path: Path) -> None:
    file = tmp_path / "spent.json"
    assert TrainingFolder(tmp_path).cpu_seconds() == 0
    file.write_text("100.5")
    spent = CpuTime(file)
    spent.note()
    noted = TrainingFolder(tmp_path).cpu_seconds()
    assert 100.5 < noted <= 100.5 + time.process_time()
    assert CpuTime(file).seconds > noted


def test_an_empty_file_of_cpu_time_counts_as_zero(tmp_path: Path) -> None:
    (tmp_path / "spent.json").write_bytes(b"")
    assert TrainingFolder(tmp_path).cpu_seconds() == 0
    assert CpuTime(tmp_path / "spent.json").seconds <= time.process_time()


def test_cpu_time_includes_other_threads(tmp_path: Path) -> None:
    spent = CpuTime(tmp_path / "spent.json")
    before = spent.seconds

    def compute() -> None:
        end = time.thread_time() + 0.2
        while time.thread_time() < end:
            pass

    thread = threading.Thread(target=compute)
    thread.start()
    thread.join()
    assert spent.seconds >= before + 0.2


def test_folders_of_unknown_trainings_are_quarantined_and_restored_with_their_row(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folders = TrainingFolders(tmp_path)
    for name in ("known", "unknown", "arriving"):
        folder = folders.of(name)
        folder.make()
        (folder.path / "train.csv").write_text(name)
        if name != "arriving":
            for path in (folder.path / "train.csv", folder.path):
                os.utime(path, (0, 0))
    folders.sweep({"known"})
    assert {path.name for path in (tmp_path / "trainings").iterdir()} == {"known", "arriving"}
    assert any("unknown" in line and "was moved to" in line for line in caplog.messages)
    folders.restore({"known", "unknown"})
    assert (folders.of("unknown").path / "train.csv").read_text() == "unknown"
