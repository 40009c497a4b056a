"""Writes `polyprefix_client/_sync` from `_async`: the same code without `async` and `await`.

Run it after each change of `_async`. With `--check`, it writes nothing, and exits with 1 if a file
is not what it would write. It needs ruff, which formats the result.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

PACKAGE: Final = Path(__file__).parent / "polyprefix_client"
WRITTEN_BY_HAND: Final = frozenset({"__init__.py", "concurrency.py"})
_NOTICE: Final = "# Generated from _async/{name} by generate_sync.py. Change that file instead.\n"

_REPLACEMENTS: Final = (
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\b__a(enter|exit)__\b", r"__\1__"),
    (r"\basynccontextmanager\b", "contextmanager"),
    (r"\bAsync([A-Z]\w*)", r"\1"),
    (r"\b_async\b", "_sync"),
    (r"\baclose\b", "close"),
    (r"\baread\b", "read"),
    (r"\baiter_(\w+)", r"iter_\1"),
)


def main() -> int:
    """Write or check all generated files; return the exit code."""
    stale = [path for path, text in generated().items() if not _is(path, text)]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path} is out of date. Run `python client/generate_sync.py`.", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.write_text(generated()[path], encoding="utf-8")
    return 0


def generated() -> dict[Path, str]:
    """Return the text of each generated file."""
    return {
        PACKAGE / "_sync" / source.name: sync_text(source)
        for source in sorted((PACKAGE / "_async").glob("*.py"))
        if source.name not in WRITTEN_BY_HAND
    }


def sync_text(source: Path) -> str:
    """Return the synchronous form of a module."""
    text = source.read_text(encoding="utf-8")
    for pattern, replacement in _REPLACEMENTS:
        text = re.sub(pattern, replacement, text)
    text = _NOTICE.format(name=source.name) + text
    for command in (["check", "--quiet", "--select", "I", "--fix"], ["format"]):
        text = _ruff(command, source, text)
    return text


def _ruff(command: list[str], source: Path, text: str) -> str:
    name = str(PACKAGE / "_sync" / source.name)
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "--stdin-filename", name, "-"],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
