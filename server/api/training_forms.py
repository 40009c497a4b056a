"""Reads what a training is asked with: a multipart body, its files into the training's folder."""

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Final

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import FormData, UploadFile

from prefixes.disk import disk
from prefixes.names import DEFAULT_ALIAS, check_alias, check_name
from server.api.surrogates import refuse_half
from server.errors import BadUpload
from server.training_jobs.fields import problems_of
from server.training_jobs.folders import TrainingFolder
from server.training_jobs.records import JobRequest, Trainer

_MAX_FIELD_BYTES: Final = 32 * 1024
_FILES: Final = {"file": "train", "validation": "validation", "test": "test"}
"""Names of files in the form, and in the training's folder."""
_TEXTS: Final = frozenset({"task", "config", "margin", "alias"})

FORM: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "task"],
                    "additionalProperties": False,
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "Labelled rows; the file's name tells its format.",
                        },
                        "validation": {
                            "type": "string",
                            "format": "binary",
                            "description": "Rows that choose the best step; split off if missing.",
                        },
                        "test": {
                            "type": "string",
                            "format": "binary",
                            "description": "Rows that only the new and the live version are "
                            "compared on; the validation rows if missing.",
                        },
                        "task": {"type": "string", "description": "Name of the task."},
                        "config": {
                            "type": "string",
                            "contentMediaType": "application/json",
                            "description": "Fields of the training: see docs/training.md.",
                        },
                        "margin": {
                            "type": "number",
                            "minimum": 0,
                            "default": 0,
                            "description": "By how much the metric of the new version must be "
                            "greater than that of the live one; at 0, by anything.",
                        },
                        "alias": {
                            "type": "string",
                            "default": DEFAULT_ALIAS,
                            "description": "The alias to compare with, and to promote.",
                        },
                    },
                }
            }
        },
    }
}


async def receive_training(
    request: Request, tenant: str, trainer: Trainer, folder: TrainingFolder
) -> JobRequest:
    """Read the form, and put its files into the folder, which is made.

    Raises:
        BadUpload: when it has no `file`, or something unknown, or its format is not known.
        InvalidName: when the task or the alias is no name.
        RequestValidationError: naming each field of `config` that is wrong, or saying which do not
            go together.
    """
    # Files larger than a megabyte go to disk as they come; how large all may be is bounded before.
    form = await request.form(
        max_files=len(_FILES), max_fields=len(_TEXTS), max_part_size=_MAX_FIELD_BYTES
    )
    try:
        files, texts = _parts(form)
        _check_files(files, trainer)
        job_request = JobRequest(
            tenant=tenant,
            task=check_name("task", texts.get("task", "")),
            alias=check_alias(texts.get("alias", DEFAULT_ALIAS)),
            margin=_margin(texts.get("margin", "0")),
            config=_config(texts.get("config", "{}"), trainer),
        )
        await run_in_threadpool(_store, files, folder)
    finally:
        await form.close()
    return job_request


def _parts(form: FormData) -> tuple[dict[str, UploadFile], dict[str, str]]:
    files: dict[str, UploadFile] = {}
    texts: dict[str, str] = {}
    for name, value in form.multi_items():
        if name in files or name in texts:
            raise BadUpload(f"The form has a second {name!r}: expected one")
        if isinstance(value, UploadFile) and name in _FILES:
            files[name] = value
        elif isinstance(value, str) and name in _TEXTS:
            texts[name] = value
        else:
            raise BadUpload(
                f"The form has an unknown part {name[:80]!r}: expected the files "
                f"{', '.join(_FILES)} and the fields {', '.join(sorted(_TEXTS))}, as in "
                "`curl -F file=@rows.csv -F task=spam`"
            )
    if "file" not in files:
        raise BadUpload("The form has no `file`: expected one, as in `curl -F file=@rows.csv`")
    return files, texts


def _check_files(files: Mapping[str, UploadFile], trainer: Trainer) -> None:
    for name, file in files.items():
        if _suffix(file) not in trainer.suffixes:
            raise BadUpload(
                f"{name} is named {(file.filename or '')[:80]!r}: expected a name that ends in "
                f"{', '.join(trainer.suffixes)}"
            )
        if _suffix(file) in trainer.lacking:
            raise BadUpload(
                f"{name} is a {_suffix(file)} file, which needs {trainer.lacking[_suffix(file)]}: "
                "ask who runs the server for it, or send the rows in another format"
            )
        if not file.size:
            raise BadUpload(f"{name} is empty: expected labelled rows")


def _suffix(file: UploadFile) -> str:
    return PurePath(file.filename or "").suffix.lower()


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
    refuse_half(config, "config")
    problems = list(problems_of(config, trainer.fields)) or trainer.problems(config)
    if problems:
        raise _invalid(
            [(f"config.{name}" if name else "config", message) for name, message in problems]
        )
    return config


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _invalid(problems: list[tuple[str, str]]) -> RequestValidationError:
    return RequestValidationError(
        [
            {"type": "value_error", "loc": ("body", field), "msg": message, "input": None}
            for field, message in problems
        ]
    )


def _store(files: Mapping[str, UploadFile], folder: TrainingFolder) -> None:
    with disk("keep the files of a training in", folder.path):
        folder.make()
        for name, file in files.items():
            with (folder.path / f"{_FILES[name]}{_suffix(file)}").open("xb") as kept:
                shutil.copyfileobj(file.file, kept)
