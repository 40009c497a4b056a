"""What a worker writes is what the server reads."""

from pathlib import Path

from server.trainings.folders import TrainingFolder
from training.job import Watcher


def test_doubts_are_told_once_however_many_workers_there_are_and_are_no_progress(
    tmp_path: Path,
) -> None:
    folder = TrainingFolder(tmp_path)
    assert folder.warnings() == []
    first = Watcher(tmp_path)
    first.warn(())
    first.warn(("rows repeat",))
    first.warn(("rows repeat", "texts are cut off"))
    second = Watcher(tmp_path)
    second.warn(("rows repeat",))
    assert folder.warnings() == ["rows repeat", "texts are cut off"]
    told = [(event.kind, event.facts["warnings"]) for event in folder.events(0)]
    assert told == [("warnings", ["rows repeat"]), ("warnings", folder.warnings())]
    assert folder.last_progress() is None


def test_a_doubt_that_quotes_a_long_label_is_cut(tmp_path: Path) -> None:
    Watcher(tmp_path).warn(("x" * 1_000_000,))
    (event,) = TrainingFolder(tmp_path).events(0)
    assert len(event.facts["warnings"][0]) < 2000
