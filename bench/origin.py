"""Where figures come from: the processor, its number formats, the commit and the command."""

import os
import platform
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final

import torch

from prefixes.backbone import find_device

_CPUINFO: Final = Path("/proc/cpuinfo")
_BFLOAT16_FLAGS: Final = frozenset({"avx512_bf16", "amx_bf16"})


@cache
def processor() -> str:
    """Name the processor and count its cores as well as the system can."""
    names = _cpuinfo("model name")
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"


def device(name: str) -> str:
    """Name what a device of torch is: a GPU by its model, or the processor."""
    on = find_device(name)
    return torch.cuda.get_device_name(on) if on.type == "cuda" else processor()


def has_bfloat16() -> bool:
    """Tell whether the processor multiplies bfloat16 in hardware; without, it only gets slower."""
    return any(_BFLOAT16_FLAGS & set(flags.split()) for flags in _cpuinfo("flags"))


@cache
def commit() -> str:
    """Name the commit of this checkout; a plus sign says that files differ from it."""
    folder = Path(__file__).parent
    show = ["git", "rev-parse", "--short", "HEAD"]
    name = subprocess.run(show, cwd=folder, capture_output=True, text=True, check=False)
    if name.returncode:
        return "unknown"
    compare = ["git", "diff", "--quiet", "HEAD", "--", ":/"]
    is_clean = subprocess.run(compare, cwd=folder, check=False).returncode == 0
    return name.stdout.strip() + ("" if is_clean else "+")


def command() -> str:
    """Give the command line that runs this module of the benchmarks."""
    spec = sys.modules["__main__"].__spec__
    module = "bench" if spec is None else spec.name.removesuffix(".__main__")
    return shlex.join(["python", "-m", module, *sys.argv[1:]])


def _cpuinfo(field: str) -> list[str]:
    lines = _CPUINFO.read_text(encoding="utf-8").splitlines() if _CPUINFO.exists() else []
    return [line.partition(":")[2].strip() for line in lines if line.startswith(field)]
