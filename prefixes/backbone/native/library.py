"""The file of the compiled operators: how it is named, found and loaded.

The name contains everything that the file depends on. A file that was compiled from other sources,
for another torch or another kind of processor has another name and is never loaded.
"""

import functools
import hashlib
import logging
import platform
from pathlib import Path
from typing import Final

import torch

FOLDER: Final = Path(__file__).parent
COMMAND: Final = "python -m prefixes.backbone.native"

_log = logging.getLogger(__name__)


def library_path() -> Path:
    """Return where the compiled kernels are for this torch and this kind of processor."""
    return FOLDER / f"{library_prefix()}-{_digest()}.so"


def library_prefix() -> str:
    """Return what the files of this torch and this kind of processor have in common."""
    return f"kernels-torch{torch.__version__}-{platform.machine()}"


@functools.cache
def is_compiled() -> bool:
    """Load the compiled operators, once; false if they are not there.

    The log reports the reason.
    """
    path = library_path()
    if not path.exists():
        others = sorted(other.name for other in FOLDER.glob("*.so"))
        found = f"; ignored {', '.join(others)}" if others else ""
        _log.info("compiled kernels: not installed, expected %s%s; run %s", path, found, COMMAND)
        return False
    try:
        torch.ops.load_library(str(path))  # type: ignore[no-untyped-call]
    except OSError as error:
        _log.warning("compiled kernels: %s cannot be loaded: %s", path, error)
        return False
    return True


def _digest() -> str:
    """Hash the sources and the module that compiles them."""
    sources = sorted(path for path in FOLDER.iterdir() if path.suffix in {".cpp", ".h"})
    digest = hashlib.sha256()
    for path in (*sources, FOLDER / "build.py"):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
