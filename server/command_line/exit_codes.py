"""Exit codes of the command line, and the errors that end a command with each of them."""

# ruff: noqa: PLC0415 - the error classes need numpy and pydantic, which `--help` does without

import os
import select
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum
from functools import cache
from typing import Final, TextIO

import typer


class ExitCode(IntEnum):
    """How a command ended. `docs/command-line.md` documents the codes for scripts."""

    SUCCESS = 0
    FAILURE = 1
    INVALID_INPUT = 2
    INTERRUPTED = 130


MEANINGS: Final[Mapping[ExitCode, str]] = {
    ExitCode.SUCCESS: "Success.",
    ExitCode.FAILURE: (
        "Failure at run time: the store, a server, the disk or the address is unavailable, or "
        "training failed."
    ),
    ExitCode.INVALID_INPUT: (
        "Invalid input: an unknown flag, an invalid setting, a backbone that cannot be loaded, or "
        "a file, name, plan, key or request that is rejected."
    ),
    ExitCode.INTERRUPTED: "Interrupted by Ctrl-C or SIGTERM.",
}
"""The meaning of each code; `docs/command-line.md` has the same texts."""


@contextmanager
def errors_as_exit_codes() -> Iterator[None]:
    """End the command with a message and an exit code, without a traceback, on expected errors."""
    try:
        yield
        if sys.stdout is not None:  # None where the caller closed the descriptor, as `>&-` does
            sys.stdout.flush()  # a full disk is reported here, not by the interpreter as it exits
    except (Exception, KeyboardInterrupt) as error:
        lost = discard_lost_output() if isinstance(error, OSError) else None
        if isinstance(error, BrokenPipeError) and isinstance(lost, BrokenPipeError):
            return  # the reader of the output, such as `head`, has seen enough
        code = exit_code_of(error)
        if code is None:
            raise
        typer.echo(f"polyprefix: {_message_of(error, lost)}", err=True)
        sys.exit(code)


def exit_code_of(error: BaseException) -> ExitCode | None:
    """Return the exit code for an error; None for a defect of the program."""
    for kinds, code in _codes():
        if isinstance(error, kinds):
            return code
    return None


@cache
def _codes() -> tuple[tuple[tuple[type[BaseException], ...], ExitCode], ...]:
    """Return the exit code of each class of errors; the first match counts."""
    from polyprefix_client import errors as client_errors
    from prefixes import errors as prefix_errors
    from prefixes.interop.errors import ConversionRefused
    from server.command_line.foreign_packages import ForeignPackage
    from server.errors import FrontEndFailed, ServerFailed
    from server.settings import InvalidSettings
    from training import errors as training_errors

    interrupted = (KeyboardInterrupt, training_errors.TrainingStopped)
    invalid = (
        InvalidSettings,
        ConversionRefused,
        prefix_errors.InvalidName,
        prefix_errors.PrefixNotFound,
        prefix_errors.TenantNotFound,
        prefix_errors.TenantExists,
        prefix_errors.KeyNotFound,
        prefix_errors.KeyNotValid,
        prefix_errors.InvalidLimit,
        prefix_errors.PrefixRejected,
        prefix_errors.InputRejected,
        prefix_errors.BackboneUnavailable,
        training_errors.PlanRejected,
        training_errors.DataRejected,
        training_errors.CheckpointRejected,
        client_errors.InvalidRequest,
        client_errors.AuthenticationFailed,
        client_errors.PermissionDenied,
        client_errors.NotFound,
        client_errors.Conflict,
        client_errors.PreconditionFailed,
        client_errors.TooLarge,
        client_errors.InvalidName,
        client_errors.InvalidRows,
        client_errors.InvalidLogin,
        client_errors.InvalidUrl,
        FileNotFoundError,
        IsADirectoryError,
        NotADirectoryError,
    )
    failed = (
        prefix_errors.PrefixError,
        client_errors.PolyprefixError,
        training_errors.TrainingError,
        FrontEndFailed,
        ServerFailed,
        ForeignPackage,
        OSError,
    )
    return (
        (interrupted, ExitCode.INTERRUPTED),
        (invalid, ExitCode.INVALID_INPUT),
        (failed, ExitCode.FAILURE),
    )


def discard_lost_output() -> OSError | None:
    """Return why standard output cannot be written, and drop what it holds; None if it can be.

    Otherwise Python would report the error once more as it exits.
    """
    if sys.stdout is None:
        return None
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return error
    # Unbuffered output, as with PYTHONUNBUFFERED, has nothing left to flush after its error.
    return BrokenPipeError() if _has_no_reader(sys.stdout) else None


def _has_no_reader(output: TextIO) -> bool:
    """Return whether output goes to a pipe whose reader has gone."""
    try:
        descriptor = output.fileno()
    except OSError:  # output that is captured, as in tests, has no descriptor
        return False
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))


def _message_of(error: BaseException, lost: OSError | None) -> str:
    """Describe an error without Python's own notation, such as `[Errno 2]`."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error) or "Stopped."
    if error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if lost is not None and lost.errno == error.errno:
        return f"Cannot write to standard output: {error.strerror}"
    return error.strerror
