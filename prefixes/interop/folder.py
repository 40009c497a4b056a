"""Untrusted folders of other programs: JSON settings, and tensors read without running code."""

import json
import pickle
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from prefixes.interop.errors import ConversionRefused

MAX_SETTINGS_BYTES: Final = 4 * 2**20

_WRAPPERS: Final = ("module.", "_orig_mod.")
_CODE: Final = re.compile(r"(?:GLOBAL |class |function )([\w.]+)")

Tensors = dict[str, Tensor]


def read_settings(folder: Path, name: str) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ConversionRefused: when the file is missing, too large, or not a JSON object.
    """
    path = folder / name
    if not path.is_file():
        raise ConversionRefused(f"The folder {str(folder)!r} has no {name}: expected that file")
    if path.stat().st_size > MAX_SETTINGS_BYTES:
        raise ConversionRefused(f"{path}: expected at most {MAX_SETTINGS_BYTES} bytes")
    try:
        settings = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ConversionRefused(f"{path}: expected JSON, {str(error)[:200]}") from error
    if not isinstance(settings, dict):
        raise ConversionRefused(f"{path}: expected a JSON object, found {type(settings).__name__}")
    return settings


def read_tensors(folder: Path, names: Sequence[str]) -> Tensors:
    """Read the tensors of the first of the named files that exists.

    Files other than safetensors are read with torch's `weights_only`, which runs no code. Prefixes
    that `DataParallel` and `torch.compile` add to all names are removed.

    Raises:
        ConversionRefused: when none of the files exists, or it does not hold tensors by name.
    """
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        raise ConversionRefused(
            f"The folder {str(folder)!r} has no tensors: expected {' or '.join(names)}"
        )
    tensors = _safetensors(path) if path.suffix == ".safetensors" else _checkpoint(path)
    return _without_wrappers(tensors)


def has_any(folder: Path, names: Sequence[str]) -> bool:
    """Say whether one of the files exists."""
    return any((folder / name).is_file() for name in names)


def _without_wrappers(tensors: Tensors) -> Tensors:
    for wrapper in _WRAPPERS:
        if tensors and all(name.startswith(wrapper) for name in tensors):
            inner = {name.removeprefix(wrapper): tensor for name, tensor in tensors.items()}
            return _without_wrappers(inner)
    return tensors


def _safetensors(path: Path) -> Tensors:
    try:
        return safetensors.torch.load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise ConversionRefused(f"{path}: expected safetensors, {_first_line(error)}") from error


def _checkpoint(path: Path) -> Tensors:
    _check_archive(path)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:  # torch suggests running the code: we never do
        found = _CODE.search(str(error))
        raise ConversionRefused(
            f"{path}: expected a torch checkpoint of tensors only, found "
            f"{found[1] if found else 'other objects'}. Save only the state_dict, preferably as "
            "safetensors."
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise ConversionRefused(
            f"{path}: expected a torch checkpoint of tensors only, found a damaged one "
            f"({type(error).__name__}). Copy it again, or save it again as safetensors."
        ) from error
    if not isinstance(loaded, dict):
        raise ConversionRefused(
            f"{path}: expected tensors by name, found {type(loaded).__name__}: save the state_dict"
        )
    for name, tensor in loaded.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise ConversionRefused(f"{path}: expected tensors by name, found {str(name)[:100]!r}")
        if not tensor.is_contiguous():
            # Strides of 0 make a tensor of any size from one number; a copy would be that large.
            raise ConversionRefused(f"{path}: expected whole tensors, {name[:100]!r} is a view")
    return dict(loaded)


def _check_archive(path: Path) -> None:
    """Accept only uncompressed zip files, so that the content is not larger than the file.

    torch ignores their checksums, and a flipped bit would silently change a number.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            is_packed = any(item.compress_type != zipfile.ZIP_STORED for item in archive.infolist())
            damaged = None if is_packed else archive.testzip()
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError) as error:
        raise ConversionRefused(
            f"{path}: expected a complete file that torch.save of torch 1.6 or later wrote, found "
            "something else"
        ) from error
    if is_packed:
        raise ConversionRefused(f"{path}: expected a file of torch.save, found a compressed one")
    if damaged is not None:
        raise ConversionRefused(
            f"{path}: the CRC-32 of {damaged[:100]!r} does not match its bytes, so the file is "
            "damaged. Copy it again from its source."
        )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]
