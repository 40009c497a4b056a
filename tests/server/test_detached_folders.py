"""Folders of jobs that another server has taken over."""

from pathlib import Path

import pytest

from prefixes.errors import StoreUnavailable
from server.batch_files.folders import BatchFolder


@pytest.fixture
def folder(tmp_path: Path) -> BatchFolder:
    folder = BatchFolder(tmp_path / "batches" / "a1")
    folder.make()
    folder.rows("jsonl").write_bytes(b"{}\n")
    folder.results.write_bytes(b"one\n")
    return folder


def test_a_former_holder_writes_into_the_folder_that_it_had(folder: BatchFolder) -> None:
    with folder.results.open("ab", buffering=0) as late:
        folder.detach()
        late.write(b"late\n")
    assert folder.results.read_bytes() == b"one\n"
    assert folder.rows("jsonl").read_bytes() == b"{}\n"
    assert folder.path.stat().st_mode & 0o077 == 0
    assert [path.name for path in folder.path.parent.iterdir()] == ["a1"]


@pytest.mark.parametrize("step", [1, 2])
def test_a_crash_between_two_steps_loses_nothing(
    folder: BatchFolder, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    steps: list[Path] = []
    rename = Path.rename

    def crash(path: Path, target: Path) -> Path:
        steps.append(path)
        if len(steps) == step:
            raise OSError(5, "crashed")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", crash)
    with pytest.raises(StoreUnavailable):
        folder.detach()
    monkeypatch.undo()
    folder.detach()
    assert folder.results.read_bytes() == b"one\n"
    assert [path.name for path in folder.path.parent.iterdir()] == ["a1"]
