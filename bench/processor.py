"""The processor of this machine: its name, cores and vector instructions."""

import os
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Self

_CPUINFO: Final = Path("/proc/cpuinfo")
_VECTORS: Final = (
    ("AVX-512", frozenset({"avx512f"})),
    ("AVX2", frozenset({"avx2"})),
    ("SVE", frozenset({"sve"})),
    ("NEON", frozenset({"asimd"})),
)
"""Vector instructions and the flags of which one is needed, the widest first."""

_BFLOAT16: Final = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
_INT8: Final = (
    ("VNNI", frozenset({"avx512_vnni", "avx_vnni"})),
    ("AMX", frozenset({"amx_int8"})),
    ("I8MM", frozenset({"i8mm"})),
)


@dataclass(frozen=True, slots=True)
class Processor:
    """A processor as Linux describes it; elsewhere, its flags are unknown."""

    name: str
    num_cores: int
    flags: frozenset[str]

    @classmethod
    @cache
    def here(cls) -> Self:
        text = _CPUINFO.read_text(encoding="utf-8") if _CPUINFO.exists() else ""
        return cls.of(text, os.cpu_count() or 1)

    @classmethod
    def of(cls, text: str, num_cores: int) -> Self:
        """Parse the text of /proc/cpuinfo. Cores that differ have the flags that all have."""
        names = _values(text, "model name")
        flags = [frozenset(line.split()) for line in _values(text, "flags", "Features")]
        common = frozenset.intersection(*flags) if flags else frozenset()
        return cls(names[0] if names else platform.processor(), num_cores, common)

    def __str__(self) -> str:
        return f"{self.name}, {self.num_cores} cores, {self.instructions}"

    @property
    def instructions(self) -> str:
        """Its class, such as `AVX-512, bfloat16, VNNI`."""
        vectors = [name for name, flags in _VECTORS if flags & self.flags][:1]
        multiplied = ["bfloat16"] if self.has_bfloat16 else []
        multiplied += [name for name, flags in _INT8 if flags & self.flags]
        return ", ".join((*vectors, *multiplied)) or "unknown instructions"

    @property
    def has_bfloat16(self) -> bool:
        """Whether it multiplies bfloat16 in hardware; otherwise bfloat16 is slower."""
        return bool(_BFLOAT16 & self.flags)

    @property
    def meets_bounds(self) -> bool:
        """Whether it has the instructions for which the required speedups were set."""
        return "avx512f" in self.flags and self.has_bfloat16


REQUIRED_INSTRUCTIONS: Final = "AVX-512 with bfloat16"
"""The instructions that `meets_bounds` looks for."""


def _values(text: str, *fields: str) -> list[str]:
    pairs = (line.partition(":") for line in text.splitlines())
    return [value.strip() for name, _, value in pairs if name.strip() in fields]
