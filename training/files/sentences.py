"""How a command ends that cannot go on: a sentence and an exit code, without a traceback."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

import typer

from training.errors import TrainingError, TrainingStopped

_FAILED: Final = 2
_INTERRUPTED: Final = 130


@contextmanager
def sentences() -> Iterator[None]:
    """Tell what went wrong in a sentence and an exit code, without a traceback."""
    from prefixes.errors import PrefixError  # noqa: PLC0415 - needs numpy, which takes a while

    try:
        yield
    except BrokenPipeError:  # whoever read the output has seen enough
        _give_up_output()
    except TrainingStopped as stopped:
        leave(str(stopped), _INTERRUPTED)
    except (TrainingError, PrefixError) as error:
        leave(str(error), _FAILED)
    except OSError as error:
        _give_up_output()
        leave(str(error), _FAILED)
    except KeyboardInterrupt:
        leave("stopped", _INTERRUPTED)


def _give_up_output() -> None:
    """Discard output that cannot be written: Python would complain once more at its exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def leave(message: str, exit_code: int) -> NoReturn:
    typer.echo(f"polyprefix: {message}", err=True)
    sys.exit(exit_code)
