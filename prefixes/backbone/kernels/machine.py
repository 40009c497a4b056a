"""The facts about a machine that decide which kernels are fastest on it."""

import platform
import re
from pathlib import Path
from typing import Final

import torch

_CPU_FILE: Final = Path("/proc/cpuinfo")
_NAMES: Final = ("vendor_id", "cpu family", "model", "model name", "CPU implementer", "CPU part")
_FLAGS: Final = ("flags", "Features")
_VECTOR_FLAG: Final = re.compile(r"(avx|amx|fma|f16c|asimd|sve|bf16|i8mm)")


def machine_facts(device: torch.device) -> dict[str, str]:
    """Describe the processor or GPU, the version of torch and the number of threads."""
    facts = {
        "device": device.type,
        "processor": _processor(),
        "torch": torch.__version__,
        "threads": str(torch.get_num_threads()),
    }
    if device.type == "cuda":
        facts["gpu"] = torch.cuda.get_device_name(device)
    return facts


def _processor() -> str:
    """Return the name of the processor and its vector instructions."""
    try:
        first = _CPU_FILE.read_text(encoding="utf-8").partition("\n\n")[0]
    except OSError:  # not Linux
        return f"{platform.machine()} {platform.processor()}".strip()
    return describe_processor(first)


def describe_processor(text: str) -> str:
    """Describe the processor of one paragraph of /proc/cpuinfo.

    The name alone is not enough: virtual machines often report only "AMD EPYC".
    """
    pairs = (line.partition(":") for line in text.splitlines())
    values = {name.strip(): value.strip() for name, _, value in pairs}
    names = [values[name] for name in _NAMES if name in values]
    flags = " ".join(values.get(name, "") for name in _FLAGS).split()
    return " ".join((*names, *sorted(filter(_VECTOR_FLAG.match, flags))))
