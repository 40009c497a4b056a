"""Files of jobs in a bucket: any server runs a job, and any server shows it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from prefixes.errors import StoreUnavailable
from prefixes.registry import BucketSettings
from server import job_bucket, job_mirrors
from server.batch_files.crashes import CrashJournal
from server.batch_files.folders import BatchFolders
from server.job_ids import new_id
from server.training_jobs.folders import TrainingFolder, TrainingFolders
from tests.seaweedfs import SeaweedServer

JOB = new_id()


@pytest.fixture
def bucket(seaweedfs: SeaweedServer) -> BucketSettings:
    return seaweedfs.new_bucket()


@pytest.fixture
def trainings(
    bucket: BucketSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], TrainingFolders]:
    """The trainings as the servers of this name see them. Each has a folder of its own."""
    monkeypatch.setattr(job_bucket, "_VIEW_SECONDS", 0)
    return lambda server: TrainingFolders(tmp_path / server, bucket)


def create(folders: TrainingFolders, **files: str) -> TrainingFolder:
    folder = folders.of(JOB)
    folder.make()
    for name, text in files.items():
        (folder.path / f"{name}.csv").write_text(text)
    folder.hand_over()
    return folder


def test_a_job_is_run_by_another_server_than_the_one_that_created_it(
    trainings: Callable[[str], TrainingFolders],
) -> None:
    created = create(trainings("first"), train="text,label", test="text")
    assert not created.path.exists()
    here = trainings("second").check_out(JOB)
    assert here.rows() == {"train": "train.csv", "test": "test.csv"}
    (here.path / "out").mkdir()
    (here.path / "out" / "report.json").write_text("{}")
    (here.path / "out" / "checkpoint.pt").write_bytes(b"half")
    (here.path / "warnings.json").write_text('["few rows"]')
    here.save()
    (here.path / "out" / "checkpoint.pt").write_bytes(b"whole")
    here.save()

    shown = trainings("first").view(JOB, is_final=False)
    assert shown.warnings() == ["few rows"]
    assert shown.report.read_text() == "{}"
    assert not (shown.path / "out" / "checkpoint.pt").exists()  # nobody shows it

    third = trainings("third").check_out(JOB)  # the second has died
    assert (third.path / "out" / "checkpoint.pt").read_bytes() == b"whole"
    assert third.warnings() == ["few rows"]


def test_a_view_follows_what_the_running_server_saves(
    trainings: Callable[[str], TrainingFolders],
) -> None:
    create(trainings("first"), train="")
    here, viewer = trainings("second").check_out(JOB), trainings("first")
    for number in range(3):
        (here.path / "warnings.json").write_text(f'["{number}"]')
        here.save()
        assert viewer.view(JOB, is_final=number == 2).warnings() == [str(number)]


def test_a_view_has_the_last_files_as_soon_as_the_job_has_finished(
    trainings: Callable[[str], TrainingFolders], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_bucket, "_VIEW_SECONDS", 3600)
    create(trainings("first"), train="")
    here, viewer = trainings("second").check_out(JOB), trainings("first")
    assert viewer.view(JOB, is_final=False).warnings() == []
    (here.path / "warnings.json").write_text('["few rows"]')
    here.save()
    assert viewer.view(JOB, is_final=False).warnings() == []
    assert viewer.view(JOB, is_final=True).warnings() == ["few rows"]


def test_a_finished_job_is_shown_without_further_requests(
    seaweedfs: SeaweedServer,
    trainings: Callable[[str], TrainingFolders],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    create(trainings("first"), train="")
    viewer = trainings("second")
    viewer.view(JOB, is_final=True)
    monkeypatch.setattr(job_mirrors.JobMirror, "refresh", None)
    viewer.view(JOB, is_final=True)


def test_only_files_that_changed_are_saved_again_and_the_outcome_last(
    trainings: Callable[[str], TrainingFolders], monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefixes.s3.bucket import Bucket

    create(trainings("first"), train="text,label")
    folder = trainings("second").check_out(JOB)
    written: list[str] = []
    put = Bucket.put

    def record(self: Bucket, key: str, data: bytes | Path) -> None:
        written.append(key.rpartition("/")[2])
        put(self, key, data)

    monkeypatch.setattr(Bucket, "put", record)
    for name in ("outcome.json", "spent.json", "events.jsonl.partial", "lock"):
        (folder.path / name).write_text("1")
    folder.save()
    assert sorted(written) == ["outcome.json", "spent.json"]
    assert written[-1] == "outcome.json"
    folder.save()
    assert len(written) == 2


def test_a_tidied_and_a_removed_job_leave_nothing_that_is_not_needed(
    trainings: Callable[[str], TrainingFolders],
) -> None:
    create(trainings("first"), train="text,label", validation="text")
    trainings("second").of(JOB).tidy()
    assert trainings("third").check_out(JOB).rows() == {}
    create(trainings("first"), train="text,label")
    trainings("second").of(JOB).remove()
    assert list(trainings("third").check_out(JOB).path.iterdir()) == []


def test_files_that_the_database_does_not_list_go_to_quarantine_and_return(
    trainings: Callable[[str], TrainingFolders], monkeypatch: pytest.MonkeyPatch
) -> None:
    create(trainings("first"), train="text,label")
    trainings("first").sweep(set())  # young: it may be arriving
    assert trainings("second").check_out(JOB).rows() == {"train": "train.csv"}
    monkeypatch.setattr(job_bucket, "_ORPHAN_SECONDS", -60.0)
    trainings("first").sweep(set())
    assert trainings("second").check_out(JOB).rows() == {}
    trainings("first").restore({JOB})
    assert trainings("second").check_out(JOB).rows() == {"train": "train.csv"}


def test_a_start_removes_copies_and_no_folder_of_a_local_store(
    trainings: Callable[[str], TrainingFolders], tmp_path: Path
) -> None:
    local = tmp_path / "first" / "trainings" / JOB
    local.mkdir(parents=True)
    copy = trainings("first").check_out(JOB).path
    trainings("first").restore(set())
    assert local.exists()
    assert not copy.exists()


def test_results_in_pages_are_continued_at_the_checkpoint_by_another_server(
    bucket: BucketSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_mirrors, "_PAGE_BYTES", 10)
    first, second, viewer = (BatchFolders(tmp_path / name, bucket) for name in ("1", "2", "3"))
    here = first.of(JOB)
    here.make()
    here.rows("jsonl").write_text("rows")
    here.save()
    here.results.write_bytes(b"0123456789abcdefghijKLM")
    here.save_results(0, 15)
    assert viewer.results(JOB, 13).read_bytes()[:13] == b"0123456789abc"
    here.save_results(15, 23)
    assert viewer.results(JOB, 23).read_bytes() == b"0123456789abcdefghijKLM"

    there = second.check_out(JOB)
    assert there.results.read_bytes() == b"0123456789abcdefghijKLM"
    assert there.rows("jsonl").read_text() == "rows"
    os.truncate(there.results, 15)  # to the checkpoint, which was before the last page
    with there.results.open("ab") as file:
        file.write(b"XYZ")
    there.save_results(15, 18)
    assert first.results(JOB, 18).read_bytes() == b"0123456789abcdeXYZ"


def test_kills_by_a_row_are_counted_over_all_servers(
    bucket: BucketSettings, tmp_path: Path
) -> None:
    def run_until_killed(server: str) -> CrashJournal:
        folder = BatchFolders(tmp_path / server, bucket).check_out(JOB)
        journal = CrashJournal.open(folder.crashes)
        journal.begin(7, 8)
        folder.save()
        return journal

    assert not run_until_killed("first").is_after_kill
    assert run_until_killed("second").is_after_kill
    assert run_until_killed("third").must_run_alone(7)
    assert list(run_until_killed("fourth").failed) == [7]


def test_results_that_the_bucket_lost_are_reported(bucket: BucketSettings, tmp_path: Path) -> None:
    folders = BatchFolders(tmp_path / "1", bucket)
    folder = folders.of(JOB)
    folder.make()
    folder.results.write_bytes(b"0123456789")
    folder.save_results(0, 10)
    with pytest.raises(StoreUnavailable, match=r"results.jsonl/00000000 has 10 bytes, expected 20"):
        BatchFolders(tmp_path / "2", bucket).results(JOB, 20)


def test_copies_that_nobody_looks_at_are_removed(
    trainings: Callable[[str], TrainingFolders], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = create(trainings("first"), train="")
    here.path.mkdir()
    (here.path / "warnings.json").write_text('["few rows"]')
    here.save()
    viewer = trainings("second")
    path = viewer.view(JOB, is_final=True).path
    other = trainings("second")  # the process of the engine, which sweeps
    other.sweep({JOB})
    assert path.exists()
    monkeypatch.setattr(job_bucket, "_ORPHAN_SECONDS", -1.0)
    other.sweep({JOB})
    assert not path.exists()
    assert viewer.view(JOB, is_final=True).warnings() == ["few rows"]  # fetched again
