"""Compile attention, vectors and int8 rounding: one object per instruction set, and one library.

The library runs on every processor of this kind: what a processor can do is checked when it is
loaded. Headers of torch are only in the operators, and only those of its stable interface, which
compile within seconds.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import torch

from prefixes.backbone.native.library import FOLDER, library_path, library_prefix

# Contraction joins a product and a sum to one instruction. No other freedom is given: NaN and
# infinity must stay what they are, or one text could affect others.
_FLAGS: Final = ("-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden", "-ffp-contract=fast", "-Wall")

_AVX2: Final = ("-mavx2", "-mfma")
_AVX512: Final = (
    *_AVX2,
    "-mavx512f",
    "-mavx512bw",
    "-mavx512dq",
    "-mavx512vl",
    "-mprefer-vector-width=512",
)
_BFLOAT16: Final = "-mavx512bf16"  # g++ 9 does not know it
_KERNELS: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "x86_64": {
        "avx512bf16": (*_AVX512, _BFLOAT16),
        "avx512": _AVX512,
        "avx2": _AVX2,
        "baseline": (),
    },
}
"""The kernels of each kind of processor, which dispatch.h lists too. Others have `baseline`,
which uses NEON on ARM."""


class CompilationFailed(Exception):
    """The kernels cannot be compiled here. The message gives the reason."""


def find_compiler() -> str | None:
    """Return the C++ compiler: that of the variable CXX, or the first that is installed."""
    names = (os.environ.get("CXX"), "g++", "clang++", "c++")
    return next((found for name in names if name and (found := shutil.which(name))), None)


def build() -> Path:
    """Compile the kernels unless they are there, and return the library's file.

    Several processes may compile at the same time: the file appears at once and complete.

    Raises:
        CompilationFailed: when there is no compiler, it fails, or the folder is not writable.
    """
    path = library_path()
    if path.exists():
        return path
    compiler = find_compiler()
    if sys.platform != "linux":
        raise CompilationFailed("they are compiled on Linux only")
    if compiler is None:
        raise CompilationFailed("no C++ compiler was found: install g++ 9 or newer, or clang++")
    try:
        with tempfile.TemporaryDirectory(prefix=".build-", dir=FOLDER) as folder:
            library = _compile(compiler, Path(folder))
            library.replace(path)
    except OSError as error:
        raise CompilationFailed(f"the library cannot be written: {error}") from error
    for outdated in FOLDER.glob(f"{library_prefix()}-*.so"):
        if outdated != path:
            outdated.unlink(missing_ok=True)
    return path


def _compile(compiler: str, folder: Path) -> Path:
    root = Path(torch.__file__).parent
    kernels = _kernels_of(compiler)
    units = {
        folder / f"{name}.o": ("kernel.cpp", f"-DPOLYPREFIX_KERNEL={name}", *flags)
        for name, flags in kernels.items()
    }
    for operators in ("operator", "int8_operators", "modulation_operator"):
        units[folder / f"{operators}.o"] = (
            f"{operators}.cpp",
            *(["-DPOLYPREFIX_HAS_AVX512BF16"] if "avx512bf16" in kernels else []),
            *("-isystem", str(root / "include")),
        )
    library = folder / "library.so"

    def compile_unit(item: tuple[Path, tuple[str, ...]]) -> None:
        target, (source, *flags) = item
        _run(compiler, *_FLAGS, *flags, "-c", str(FOLDER / source), "-o", str(target))

    with ThreadPoolExecutor() as threads:
        list(threads.map(compile_unit, units.items()))
    _run(compiler, "-shared", *map(str, units), f"-L{root / 'lib'}", "-ltorch_cpu", "-o", library)
    return library


def _kernels_of(compiler: str) -> dict[str, tuple[str, ...]]:
    """Return the kernels of this kind of processor that the compiler supports, with their flags."""
    kernels = _KERNELS.get(platform.machine(), {"baseline": ()})
    needs_flag = any(_BFLOAT16 in flags for flags in kernels.values())
    if not needs_flag or _has_flag(compiler, _BFLOAT16):
        return kernels
    return {name: flags for name, flags in kernels.items() if _BFLOAT16 not in flags}


def _has_flag(compiler: str, flag: str) -> bool:
    command = (compiler, flag, "-x", "c++", "-fsyntax-only", os.devnull)
    return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or ["no message"]
        raise CompilationFailed(f"{command[0]} failed: {lines[0].strip()}")
