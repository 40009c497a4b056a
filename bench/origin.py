"""The origin of figures: the processor, its number formats, the commit and the command."""

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
    """Return the name of the processor and its number of cores, as far as known."""
    names = _cpuinfo("model name")
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"


def device(name: str) -> str:
    """Return the model of a torch device: that of a GPU, or the processor."""
    on = find_device(name)
    return torch.cuda.get_device_name(on) if on.type == "cuda" else processor()


def has_bfloat16() -> bool:
    """Say whether the processor multiplies bfloat16 in hardware; otherwise it is slower."""
    return any(_BFLOAT16_FLAGS & set(flags.split()) for flags in _cpuinfo("flags"))


@cache
def commit() -> str:
    """Return the commit of this checkout, with a plus sign if files differ from it."""
    folder = Path(__file__).parent
    show = ["git", "rev-parse", "--short", "HEAD"]
    name = subprocess.run(show, cwd=folder, capture_output=True, text=True, check=False)
    if name.returncode:
        return "unknown"
    compare = ["git", "diff", "--quiet", "HEAD", "--", ":/"]
    is_clean = subprocess.run(compare, cwd=folder, check=False).returncode == 0
    return name.stdout.strip() + ("" if is_clean else "+")


def command() -> str:
    """Return the command line of the running benchmark."""
    spec = sys.modules["__main__"].__spec__
    module = "bench" if spec is None else spec.name.removesuffix(".__main__")
    return shlex.join(["python", "-m", module, *sys.argv[1:]])


def _cpuinfo(field: str) -> list[str]:
    lines = _CPUINFO.read_text(encoding="utf-8").splitlines() if _CPUINFO.exists() else []
    return [line.partition(":")[2].strip() for line in lines if line.startswith(field)]
