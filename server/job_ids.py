"""The ids of jobs, which are trainings and batch files."""

import re
import secrets
import time
from typing import Final

_ID: Final = re.compile(r"[0-9a-z-]{1,64}", re.ASCII)


def new_id() -> str:
    """Make an id that cannot be guessed and is greater than all earlier ones."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(6)}"


def is_id(text: str) -> bool:
    """Return whether a text may be an id. PostgreSQL rejects others, such as those with NUL."""
    return _ID.fullmatch(text) is not None
