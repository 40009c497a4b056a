"""Looks up the pinned dependencies in the vulnerability database of PyPI: `python -m tests.audit`.

The command exits with 0 only if every dependency was looked up. `pip-audit` alone reports success
for packages that its index does not know, and a traceback without a network.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_CONSTRAINTS: Final = Path(__file__).parents[1] / "constraints.txt"
_COMMAND: Final = (
    *(sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off"),
    *("--disable-pip", "--no-deps", "--requirement", str(_CONSTRAINTS)),
)

CLEAN: Final = 0
VULNERABLE: Final = 1
INCOMPLETE: Final = 2
"""Exit codes."""


@dataclass(frozen=True, slots=True)
class Audit:
    """The result of looking up dependencies."""

    num_clean: int
    vulnerable: Sequence[str]
    unknown: Sequence[str]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Audit":
        """Read the JSON of pip-audit."""
        found = document["dependencies"]
        unknown = [one["name"] for one in found if "skip_reason" in one]
        vulnerable = [_described(one) for one in found if one.get("vulns")]
        return cls(len(found) - len(unknown) - len(vulnerable), vulnerable, unknown)

    @property
    def exit_code(self) -> int:
        """The exit code of the command."""
        if self.vulnerable:
            return VULNERABLE
        return INCOMPLETE if self.unknown or not self.num_clean else CLEAN

    def lines(self) -> list[str]:
        """Describe the result."""
        lines = [f"{self.num_clean} dependencies have no known vulnerability.", *self.vulnerable]
        if self.unknown:
            names = ", ".join(self.unknown[:5]) + (", ..." if len(self.unknown) > 5 else "")
            lines.append(
                f"NOT CHECKED: the index does not know {len(self.unknown)} dependencies ({names}). "
                "Run this where the complete public package index can be reached."
            )
        return lines


def main() -> int:
    """Look up the dependencies, print the result, and return the exit code."""
    run = subprocess.run(_COMMAND, capture_output=True, text=True, check=False)
    try:
        audit = Audit.of(json.loads(run.stdout))
    except json.JSONDecodeError:
        reason = run.stderr.strip().rpartition("\n")[2]
        _write(f"NOT CHECKED: pip-audit failed, most likely without a network: {reason}")
        return INCOMPLETE
    _write(*audit.lines())
    return audit.exit_code


def _write(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _described(dependency: Mapping[str, Any]) -> str:
    ids = ", ".join(one["id"] for one in dependency["vulns"])
    fixed = sorted({version for one in dependency["vulns"] for version in one["fix_versions"]})
    name = f"{dependency['name']} {dependency['version']}"
    return f"VULNERABLE: {name}: {ids}. Fixed in {', '.join(fixed) or 'no version yet'}."


if __name__ == "__main__":
    sys.exit(main())
