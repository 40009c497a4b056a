"""Virtual environments of the peers, created on demand from pinned requirements and kept."""

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).parent
_FOLDER: Final = _HERE / ".venvs"
_SECONDS: Final = 3600
_WITHOUT: Final = "# without: "
"""A line of requirements that names packages to uninstall again."""


class EnvironmentUnavailable(Exception):
    """A peer that cannot be installed on this machine; the message is the installer's."""


def environment(name: str) -> Path:
    """Return the `bin` folder of the environment that `requirements/NAME.txt` describes.

    Raises:
        EnvironmentUnavailable: when it cannot be created.
    """
    requirements = _HERE / "requirements" / f"{name}.txt"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    folder = _FOLDER / name
    mark = folder / "installed"
    if not mark.exists() or mark.read_text(encoding="utf-8") != wanted:
        _run([sys.executable, "-m", "venv", "--clear", str(folder)])
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        # torch first and alone, so that a looser requirement of a peer does not choose its build.
        pinned = requirements.read_text(encoding="utf-8").splitlines()
        _run([*pip, *(line for line in pinned if line.startswith("torch=="))])
        _run([*pip, "--requirement", str(requirements)])
        if unwanted := unwanted_packages(pinned):
            python = str(folder / "bin" / "python")
            _run([python, "-m", "pip", "uninstall", "--quiet", "--yes", *unwanted])
        mark.write_text(wanted, encoding="utf-8")
    return folder / "bin"


def unwanted_packages(requirements: Sequence[str]) -> list[str]:
    """Return the packages that are uninstalled again, although a peer requires them."""
    lines = (line.removeprefix(_WITHOUT) for line in requirements if line.startswith(_WITHOUT))
    return [name for line in lines for name in line.split()]


def _run(command: list[str]) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=_SECONDS, cwd=_HERE
    )
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        reason = errors[-1] if errors else done.stderr.strip()[-300:]
        raise EnvironmentUnavailable(f"{Path(command[0]).name} {command[2]} failed: {reason}")
