"""CheckResult: what a check found, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How a check ended. A skipped check could not run, because another one failed."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check. `cure` is the next step, empty if there is nothing to do."""

    check: str
    state: State
    found: str
    cure: str = ""


def ok(check: str, found: str) -> CheckResult:
    """Return the result of a check that found nothing wrong."""
    return CheckResult(check, State.OK, found)


def warning(check: str, found: str, cure: str) -> CheckResult:
    """Return the result of a check that found a problem to come, or a slow or unusual setup."""
    return CheckResult(check, State.WARNING, found, cure)


def problem(check: str, found: str, cure: str) -> CheckResult:
    """Return the result of a check that found why the server or a client cannot work."""
    return CheckResult(check, State.PROBLEM, found, cure)


def skipped(check: str, reason: str) -> CheckResult:
    """Return the result of a check that could not run."""
    return CheckResult(check, State.SKIPPED, reason)
