import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from prefixes.interop.errors import ConversionRefused
from prefixes.interop.folder import MAX_SETTINGS_BYTES, read_settings, read_tensors

NAMES = ("model.safetensors", "pytorch_model.bin")


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def refusal_of(folder: Path) -> str:
    with pytest.raises(ConversionRefused) as caught:
        read_tensors(folder, NAMES)
    return str(caught.value)


def test_safetensors_come_first(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / NAMES[0])
    torch.save({"a": torch.zeros(2)}, tmp_path / NAMES[1])

    assert read_tensors(tmp_path, NAMES)["a"].tolist() == [1, 1]


def test_a_checkpoint_is_read_by_name(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(2), "b": torch.arange(3)}, tmp_path / NAMES[1])

    tensors = read_tensors(tmp_path, NAMES)

    assert tensors["b"].tolist() == [0, 1, 2]


def test_code_in_a_checkpoint_does_not_run(tmp_path: Path) -> None:
    torch.save({"a": Bomb(tmp_path / "boom")}, tmp_path / NAMES[1])

    said = refusal_of(tmp_path)
    assert "tensors only, found posix.mkdir." in said
    assert "weights_only" not in said
    assert not (tmp_path / "boom").exists()


def test_a_bare_pickle_does_not_run(tmp_path: Path) -> None:
    (tmp_path / NAMES[1]).write_bytes(pickle.dumps(Bomb(tmp_path / "boom")))

    assert "torch.save" in refusal_of(tmp_path)
    assert not (tmp_path / "boom").exists()


def test_the_legacy_layout_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / NAMES[1], _use_new_zipfile_serialization=False)

    assert "torch 1.6 or later" in refusal_of(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_a_part_of_a_file_is_refused(tmp_path: Path, name: str) -> None:
    whole = tmp_path / "whole"
    tensors = {"a": torch.ones(1000)}
    if name == NAMES[0]:
        save_file(tensors, whole)
    else:
        torch.save(tensors, whole)
    (tmp_path / name).write_bytes(whole.read_bytes()[:-500])

    assert name in refusal_of(tmp_path)


def test_a_compressed_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(10_000)}, tmp_path / "whole")
    with (
        zipfile.ZipFile(tmp_path / "whole") as whole,
        zipfile.ZipFile(tmp_path / NAMES[1], "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for item in whole.infolist():
            packed.writestr(item.filename, whole.read(item))

    assert "compressed" in refusal_of(tmp_path)


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    torch.save({"a": torch.arange(1000.0), "b": torch.zeros(3)}, tmp_path / NAMES[1])
    data = bytearray((tmp_path / NAMES[1]).read_bytes())
    place = data.index(torch.arange(1000.0).numpy().tobytes()) + 400
    data[place] ^= 1
    (tmp_path / NAMES[1]).write_bytes(data)

    said = refusal_of(tmp_path)

    assert "the CRC-32 of" in said
    assert "data/0" in said


@pytest.mark.parametrize("name", NAMES)
def test_names_lose_what_wrappers_put_before_all_of_them(tmp_path: Path, name: str) -> None:
    tensors = {"module.a": torch.ones(2), "module.module.b": torch.zeros(2)}
    if name == NAMES[0]:
        save_file(tensors, tmp_path / name)
    else:
        torch.save(tensors, tmp_path / name)

    assert sorted(read_tensors(tmp_path, NAMES)) == ["a", "module.b"]


def test_a_tensor_larger_than_its_numbers_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1).expand(10**9, 10**3)}, tmp_path / NAMES[1])

    assert "'a' is a view" in refusal_of(tmp_path)


@pytest.mark.parametrize("content", [[torch.ones(1)], {"a": 3}, {1: torch.ones(1)}])
def test_anything_but_tensors_by_name_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / NAMES[1])

    assert "expected tensors by name" in refusal_of(tmp_path)


def test_a_folder_without_tensors_is_told_the_names(tmp_path: Path) -> None:
    assert "expected model.safetensors or pytorch_model.bin" in refusal_of(tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "expected JSON"),
        (b"[1]", "expected a JSON object, found list"),
        (b"[" * 100_000, "expected JSON"),
        (b"\xff\xfe{", "expected JSON"),
        (b" " * (MAX_SETTINGS_BYTES + 1), "expected at most"),
    ],
)
def test_settings_that_are_none_are_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "config.json").write_bytes(content)

    with pytest.raises(ConversionRefused, match=reason):
        read_settings(tmp_path, "config.json")


def test_missing_settings_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConversionRefused, match=r"has no config\.json"):
        read_settings(tmp_path, "config.json")
