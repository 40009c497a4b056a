"""The kernels of our own contenders: one setting and one cache for a whole run."""

import argparse
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from prefixes.backbone import Backbone
from prefixes.backbone.kernels.names import ATTENTION_KERNELS, AUTO, LINEAR_KERNELS, PLAIN


@dataclass(frozen=True, slots=True)
class KernelSettings:
    """The requested kernels, and the file in which all contenders of a run share their choices."""

    linear: str
    attention: str
    cache: Path

    @classmethod
    def plain(cls, cache: Path) -> Self:
        """Return plain PyTorch for both operations."""
        return cls(PLAIN.linear, PLAIN.attention, cache)

    @classmethod
    def automatic(cls, cache: Path) -> Self:
        return cls(AUTO, AUTO, cache)

    def job(self) -> dict[str, str]:
        """Return the part of a worker's job that `arguments` reads."""
        return {
            "linear_kernel": self.linear,
            "attention_kernel": self.attention,
            "kernel_cache": str(self.cache),
        }

    def flags(self) -> dict[str, str]:
        """Return the flags of our server."""
        return {"linear-kernel": self.linear, "attention-kernel": self.attention}

    def share(self, cache: Path) -> None:
        """Give the choices so far to a server, which reads them from its own cache."""
        if self.cache.exists():
            shutil.copy(self.cache, cache)

    def served(self, cache: Path, dtype: str) -> dict[str, str]:
        """Return the kernels of a server with this cache, as far as they are known."""
        chosen = cached_names(cache, dtype)
        requested = {"linear": self.linear, "attention": self.attention}
        return chosen | {name: kernel for name, kernel in requested.items() if kernel != AUTO}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose the kernels of our own contenders."""
    parser.add_argument("--linear-kernel", choices=(AUTO, *LINEAR_KERNELS), default=AUTO)
    parser.add_argument("--attention-kernel", choices=(AUTO, *ATTENTION_KERNELS), default=AUTO)


def arguments(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `load_backbone` that choose the kernels of a job."""
    given = dict(job["kernels"])
    return {**given, "kernel_cache": Path(given["kernel_cache"])}


def plain_arguments() -> dict[str, Any]:
    """Return the arguments of `load_backbone` for plain PyTorch."""
    return {"linear_kernel": PLAIN.linear, "attention_kernel": PLAIN.attention}


def names_of(backbone: Backbone) -> dict[str, str]:
    """Return the kernels that a backbone runs, by operation."""
    names = {name: str(value) for name, value in asdict(backbone.kernels).items()}
    if backbone.is_quantized:
        names["linear"] = "int8"
    return names


def cached_names(cache: Path, dtype: str) -> dict[str, str]:
    """Return the newest choices in a cache for the serving of a number type, by operation."""
    if not cache.exists():
        return {}
    found: dict[str, str] = {}
    for choice in json.loads(cache.read_text(encoding="utf-8"))["choices"]:
        facts = choice["facts"]
        if facts.get("dtype") == dtype and facts.get("training") == "False":
            found[facts["operation"]] = choice["chosen"]
    return found
