"""The origin of figures: the device, the commit and the command."""

import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import torch

from bench.processor import Processor
from prefixes.backbone import find_device


def facts(num_threads: int) -> dict[str, str | int]:
    """Return the facts about a run on this processor that its figures depend on."""
    processor = Processor.here()
    return {
        "processor": f"{processor.name}, {processor.num_cores} cores",
        "instructions": processor.instructions,
        "threads": num_threads,
        "torch": torch.__version__,
        "commit": commit(),
        "command": command(),
    }


def device(name: str) -> str:
    """Return the model of a torch device: that of a GPU, or the processor."""
    on = find_device(name)
    return torch.cuda.get_device_name(on) if on.type == "cuda" else str(Processor.here())


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
    """Return the command line of the running benchmark, with absolute paths by name only."""
    spec = sys.modules["__main__"].__spec__
    module = "bench" if spec is None else spec.name.removesuffix(".__main__")
    arguments = [Path(one).name if Path(one).is_absolute() else one for one in sys.argv[1:]]
    return shlex.join(["python", "-m", module, *arguments])
