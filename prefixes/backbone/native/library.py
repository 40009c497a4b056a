"""The file of the compiled attention: how it is named, found and loaded.

The name contains everything that the file depends on. A file that was compiled from other sources,
for another torch or another kind of processor has another name and is never loaded.
"""

import functools
import hashlib
import logging
import platform
from pathlib import Path
from typing import Any, Final

import torch

FOLDER: Final = Path(__file__).parent
COMMAND: Final = "python -m prefixes.backbone.native"

_log = logging.getLogger(__name__)


def library_path() -> Path:
    """Return where the compiled attention is for this torch and this kind of processor."""
    return FOLDER / f"{library_prefix()}-{_digest()}.so"


def library_prefix() -> str:
    """Return what the files of this torch and this kind of processor have in common."""
    return f"attention-torch{torch.__version__}-{platform.machine()}"


@functools.cache
def compiled_attention() -> Any | None:
    """Load the operator `polyprefix::prefix_attention`; None if it was not compiled.

    The log reports the reason. The operator computes attention for a packed batch. Its arguments:

    - `query` `[T, H, D]`, `key` and `value` `[T, H / n, D]`, in float32 or bfloat16.
    - `pool` `[2, C, H / n, D]`: the keys and values of all prefix slots of a layer.
    - `row_bounds` `[N + 1]`: the tokens of each text.
    - `slot_bounds` `[N + 1]`: the part of `slots` that is each text's prefix.
    - `scaling`: the factor of the scores.
    - `window`: tokens attend to each other if their distance is smaller.
    - `kernel`: a name from `polyprefix::kernels()`. The default is the fastest.

    It returns `[T, H, D]`. Sums are in float32. A text's result depends on nothing but the text and
    its prefix: not on the rest of the batch, nor on the number of threads.
    """
    path = library_path()
    if not path.exists():
        others = sorted(other.name for other in FOLDER.glob("attention-*.so"))
        found = f"; ignored {', '.join(others)}" if others else ""
        _log.info("compiled attention: not installed, expected %s%s; run %s", path, found, COMMAND)
        return None
    try:
        torch.ops.load_library(str(path))  # type: ignore[no-untyped-call]
    except OSError as error:
        _log.warning("compiled attention: %s cannot be loaded: %s", path, error)
        return None
    return torch.ops.polyprefix.prefix_attention.default


def _digest() -> str:
    """Hash the sources and the module that compiles them."""
    sources = sorted(path for path in FOLDER.iterdir() if path.suffix in {".cpp", ".h"})
    digest = hashlib.sha256()
    for path in (*sources, FOLDER / "build.py"):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
