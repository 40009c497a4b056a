import threading
import time
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from prefixes.registry.server_leases import LeaseLost
from server.batch_files.results import ResultFile, ResultLine, ResultsLost

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


def line(text: str) -> ResultLine:
    return ResultLine(f"{text}\n".encode(), is_failed=False)


def open_at(path: Path, num_bytes: int) -> ResultFile:
    return ResultFile.open(path, num_bytes, confirm=lambda: None)


def test_results_after_the_checkpoint_are_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "results"
    first = open_at(path, 0)
    first.append([line("one"), line("two")])
    checkpoint = first.num_bytes
    first.append([line("three")])
    first.close()
    path.write_bytes(path.read_bytes() + b"torn li")
    again = open_at(path, checkpoint)
    again.append([line("3")])
    again.sync()
    again.close()
    assert path.read_text() == "one\ntwo\n3\n"
    assert again.num_bytes == path.stat().st_size
    assert path.stat().st_mode & 0o077 == 0


def test_a_file_without_what_its_checkpoint_says_is_reported(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("on")
    with pytest.raises(ResultsLost):
        open_at(tmp_path / "results", 4)


def test_a_file_of_another_server_is_not_changed(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("one\ntwo\n")

    def confirm() -> None:
        raise LeaseLost

    with pytest.raises(LeaseLost):
        ResultFile.open(tmp_path / "results", 4, confirm=confirm)
    assert (tmp_path / "results").read_text() == "one\ntwo\n"


def test_closing_waits_for_a_write_of_another_thread(tmp_path: Path) -> None:
    has_begun = threading.Event()

    class SlowFile(FileIO):
        def write(self, data: "ReadableBuffer") -> int:
            has_begun.set()
            time.sleep(0.2)
            return super().write(data)

    path = tmp_path / "results"
    file = ResultFile(path, SlowFile(path, "a+"), 0)
    writing = threading.Thread(target=file.append, args=([line("one")],))
    writing.start()
    assert has_begun.wait(10)
    file.close()
    assert path.read_text() == "one\n"
    writing.join()
