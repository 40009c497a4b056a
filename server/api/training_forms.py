"""The form that queues a training: its files go into the training's folder as they arrive."""

import json
import math
from functools import partial
from pathlib import Path, PurePath
from typing import Any, Final

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError

from prefixes.disk import disk
from prefixes.names import DEFAULT_ALIAS, check_alias, check_name
from server import media_types
from server.api.multipart import Form, FormPart, Write
from server.api.unicode_json import check_unicode
from server.errors import BadUpload
from server.training_jobs.fields import problems_of
from server.training_jobs.folders import TrainingFolder
from server.training_jobs.records import JobRequest, Trainer

_MAX_CONFIG_BYTES: Final = 32 * 1024
_FILES: Final = {"file": "train", "validation": "validation", "test": "test"}
"""Names of files in the form, and in the training's folder."""

FORM: Final = Form(
    parts=(
        FormPart(
            "file",
            {"description": "Labeled rows. The suffix of the file name selects the format."},
            is_file=True,
            is_required=True,
        ),
        FormPart(
            "validation",
            {"description": "Rows that select the best step. Default: split off from `file`."},
            is_file=True,
        ),
        FormPart(
            "test",
            {
                "description": "Rows on which the new version is compared with the live one, and "
                "that nothing else uses. Default: the validation rows."
            },
            is_file=True,
        ),
        FormPart("task", {"description": "Name of the task."}, is_required=True),
        FormPart(
            "config",
            {
                "contentMediaType": media_types.JSON,
                "description": "Settings of the training, as a JSON object: see docs/training.md.",
            },
            max_bytes=_MAX_CONFIG_BYTES,
        ),
        FormPart(
            "margin",
            {
                "type": "number",
                "minimum": 0,
                "default": 0,
                "description": "By how much the metric of the new version must exceed that of the "
                "live one. At 0, any improvement is enough.",
            },
        ),
        FormPart(
            "alias",
            {
                "default": DEFAULT_ALIAS,
                "description": "The alias to compare with, and to promote.",
            },
        ),
    ),
    example="curl -F file=@rows.csv -F task=spam",
)


async def receive_training(
    request: Request, tenant: str, trainer: Trainer, folder: TrainingFolder
) -> JobRequest:
    """Make the folder, and read the form: its files go into the folder.

    Raises:
        BadUpload: when the form has no `file` or has unknown parts, or a file is empty or has an
            unknown format.
        InvalidName: when the task or the alias is not a valid name.
        RequestValidationError: naming each invalid field of `config`, or the fields that contradict
            each other.
    """
    await run_in_threadpool(partial(_make, folder))
    paths: dict[str, Path] = {}

    def open_file(name: str, filename: str) -> Write:
        paths[name] = folder.path / _stored_name(name, filename, trainer)
        return partial(_append, paths[name])

    texts = await FORM.receive(request, open_file)
    await run_in_threadpool(partial(_refuse_empty, paths))
    return JobRequest(
        tenant=tenant,
        task=check_name("task", texts.get("task", "")),
        alias=check_alias(texts.get("alias", DEFAULT_ALIAS)),
        margin=_margin(texts.get("margin", "0")),
        config=_config(texts.get("config", "{}"), trainer),
    )


def _make(folder: TrainingFolder) -> None:
    with disk("make the folder of a training", folder.path):
        folder.make()


def _append(path: Path, data: bytes) -> None:
    with disk("write a file of a training to", path), path.open("ab") as file:
        file.write(data)


def _stored_name(name: str, filename: str, trainer: Trainer) -> str:
    """Name a file in the training's folder, or refuse its format.

    Raises:
        BadUpload: when the format is unknown, or this server cannot read it.
    """
    suffix = PurePath(filename).suffix.lower()
    if suffix not in trainer.suffixes:
        raise BadUpload(
            f"Unknown format of `{name}`: its file name is {filename[:80]!r}. Use a file name that "
            f"ends in {', '.join(trainer.suffixes)}."
        )
    if suffix in trainer.lacking:
        raise BadUpload(
            f"`{name}` is a {suffix} file, which needs {trainer.lacking[suffix]} on the server. "
            "Ask the operator to install it, or send the rows in another format."
        )
    return f"{_FILES[name]}{suffix}"


def _refuse_empty(paths: dict[str, Path]) -> None:
    for name, path in paths.items():
        if not path.exists() or not path.stat().st_size:
            raise BadUpload(f"`{name}` is empty. Send labeled rows.")


def _margin(text: str) -> float:
    try:
        margin = float(text)
    except ValueError:
        margin = math.nan
    if not (0 <= margin < math.inf):
        raise _invalid([("margin", f"expected a number that is not negative, found {text[:80]!r}")])
    return margin


def _config(text: str, trainer: Trainer) -> dict[str, Any]:
    try:
        config = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise _invalid([("config", f"is not valid JSON: {error}")]) from error
    if not isinstance(config, dict):
        raise _invalid([("config", "expected a JSON object")])
    check_unicode(config, "config")
    problems = list(problems_of(config, trainer.fields)) or trainer.problems(config)
    if problems:
        raise _invalid(
            [(f"config.{name}" if name else "config", message) for name, message in problems]
        )
    return config


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not valid JSON")


def _invalid(problems: list[tuple[str, str]]) -> RequestValidationError:
    return RequestValidationError(
        [
            {"type": "value_error", "loc": ("body", field), "msg": message, "input": None}
            for field, message in problems
        ]
    )
