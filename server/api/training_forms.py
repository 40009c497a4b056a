"""Receives the form that starts a training: its files go into the training's folder."""

import json
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import Any, Final, Literal, cast, get_args

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from prefixes.disk import disk
from prefixes.names import DEFAULT_ALIAS, check_alias, check_name, nearest
from server import media_types
from server.api.multipart import Form, FormPart, Write
from server.api.unicode_json import check_unicode
from server.errors import BadUpload
from server.training_jobs.folders import TrainingFolder
from server.training_jobs.records import JobRequest
from training.service.protocol.tenant_config import TenantConfig
from training.service.protocol.worker import ROW_SUFFIXES, missing_extras

FeedbackUse = Literal["none", "add", "only"]

_FILES: Final = {
    "file": "train",
    "validation": "validation",
    "test": "test",
    "unlabeled": "unlabeled",
}
"""Names of files in the form, and in the training's folder."""

TRAINING_FORM: Final = Form(
    parts=(
        FormPart(
            "file",
            {
                "description": "Labeled rows. The suffix of the file name determines the format. "
                "Required unless `config` lists labels, or `feedback` is `only`."
            },
            is_file=True,
        ),
        FormPart(
            "validation",
            {"description": "Rows that select the best step. Split off `file` if missing."},
            is_file=True,
        ),
        FormPart(
            "test",
            {
                "description": "Rows on which the new version is compared with the live one. The "
                "validation rows if missing."
            },
            is_file=True,
        ),
        FormPart(
            "unlabeled",
            {
                "description": "Rows without labels. The prefix learns the answers to them of the "
                "`teacher` in `config`."
            },
            is_file=True,
        ),
        FormPart("task", {"description": "Name of the task."}, is_required=True),
        FormPart(
            "feedback",
            {
                "enum": ["none", "add", "only"],
                "default": "none",
                "description": "Whether to train on the feedback of the task. `add` corrects the "
                "rows of `file`, `only` replaces them.",
            },
        ),
        FormPart(
            "config",
            {
                "contentMediaType": media_types.JSON,
                "contentSchema": TenantConfig.model_json_schema(),
                "description": "Settings of the training, as a JSON object.",
            },
            max_bytes=32 * 1024,
        ),
        FormPart(
            "margin",
            {
                "type": "number",
                "minimum": 0,
                "default": 0,
                "description": "The new version is promoted if its metric exceeds that of the live "
                "version by more than this.",
            },
        ),
        FormPart(
            "alias",
            {
                "default": DEFAULT_ALIAS,
                "description": "The alias whose version is compared, and which is moved.",
            },
        ),
    ),
    example="curl -F file=@rows.csv -F task=spam",
)


@dataclass(frozen=True, slots=True)
class TrainingForm:
    """A received form: the job, and how the feedback of the task is used."""

    job: JobRequest
    feedback: FeedbackUse


async def receive_training(request: Request, tenant: str, folder: TrainingFolder) -> TrainingForm:
    """Receive the form, and write its files into the folder, which is made.

    Raises:
        BadUpload: when it is not such a form, a file is empty or has an unknown suffix, or there
            are neither rows nor labels.
        InvalidName: when the task or the alias is not a valid name.
        RequestValidationError: naming each field of `config` that is wrong, or saying which fields
            contradict each other.
    """
    files: dict[str, Path] = {}

    def open_file(name: str, filename: str) -> Write:
        files[name] = folder.path / f"{_FILES[name]}{_suffix(name, filename)}"
        return partial(_append, files[name])

    await run_in_threadpool(_make, folder)
    texts = await TRAINING_FORM.receive(request, open_file)
    for name, path in files.items():
        if not path.exists():
            raise BadUpload(f"The file {name!r} is empty. Send rows, or leave it out.")
    feedback = _feedback(texts.get("feedback", "none"), has_file="file" in files)
    has_rows = "file" in files or feedback == "only"
    job = JobRequest(
        tenant=tenant,
        task=check_name("task", texts["task"]),
        alias=check_alias(texts.get("alias", DEFAULT_ALIAS)),
        margin=_margin(texts.get("margin", "0")),
        config=_config(
            texts.get("config", "{}"), has_rows=has_rows, has_unlabeled="unlabeled" in files
        ),
    )
    return TrainingForm(job, feedback)


def _feedback(text: str, *, has_file: bool) -> FeedbackUse:
    if text not in get_args(FeedbackUse):
        raise _invalid("feedback", f"expected `none`, `add` or `only`; found {text[:80]!r}")
    if has_file and text == "only":
        raise BadUpload("The form has a `file`, but `feedback` is `only`. Send `add`, or no file.")
    if not has_file and text == "add":
        raise BadUpload(f"The form has no `file`. {TRAINING_FORM.usage}")
    return cast("FeedbackUse", text)


def _make(folder: TrainingFolder) -> None:
    with disk("make the folder of a training", folder.path):
        folder.make()


def _append(path: Path, data: bytes) -> None:
    with disk("write labeled rows to", path), path.open("ab") as file:
        file.write(data)


def _suffix(name: str, filename: str) -> str:
    suffix = PurePath(filename).suffix.lower()
    if suffix not in ROW_SUFFIXES:
        raise BadUpload(
            f"The file {name!r} has the file name {filename[:80]!r}. Send a name that ends in one "
            f"of {', '.join(ROW_SUFFIXES)}."
        )
    extra = missing_extras().get(suffix)
    if extra is not None:
        raise BadUpload(
            f"The file {name!r} is a {suffix} file. This server cannot read it: the package "
            f"{extra!r} is not installed. Send the rows in another format, or ask the operator to "
            "install it."
        )
    return suffix


def _margin(text: str) -> float:
    try:
        margin = float(text)
    except ValueError:
        margin = math.nan
    if not (0 <= margin < math.inf):
        raise _invalid("margin", f"expected a number of 0 or more; found {text[:80]!r}")
    return margin


def _config(text: str, *, has_rows: bool, has_unlabeled: bool) -> dict[str, Any]:
    try:
        config = json.loads(text, parse_constant=_reject_constant)
    except (ValueError, RecursionError) as error:
        raise _invalid("config", f"is not valid JSON: {error}") from error
    if not isinstance(config, dict):
        raise _invalid("config", "expected a JSON object")
    check_unicode(config, "config")
    if not has_rows and not config.get("labels"):
        raise BadUpload(
            "The form has no `file`. Send labeled rows, or list `labels` in `config` to start "
            f"without rows. {TRAINING_FORM.usage}"
        )
    check_config(config, has_rows=has_rows, has_unlabeled=has_unlabeled)
    return config


def _reject_constant(name: str) -> float:
    raise ValueError(f"{name} is not valid JSON")


def check_config(
    config: dict[str, Any], *, has_rows: bool = True, has_unlabeled: bool = False
) -> None:
    """Check the settings of a training, with or without files of labeled and unlabeled rows.

    Raises:
        RequestValidationError: naming each field that is wrong, with the nearest name for a typo.
    """
    try:
        TenantConfig.model_validate(
            config, context={"has_rows": has_rows, "has_unlabeled": has_unlabeled}
        )
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise RequestValidationError([_located(detail) for detail in details]) from error


def _located(detail: Any) -> dict[str, Any]:
    """Place a detail within the form."""
    # Parts in parentheses name branches of our own models.
    parts = (part for part in detail["loc"] if not str(part).startswith("("))
    located = {**detail, "loc": ("body", "config", *parts)}
    if detail["type"] == "extra_forbidden":
        name = str(detail["loc"][-1])
        message = f"is not a setting of a training{nearest(name, TenantConfig.model_fields)}"
        return {**located, "type": "value_error", "msg": message}
    return located


def _invalid(field: str, message: str) -> RequestValidationError:
    error = {"type": "value_error", "loc": ("body", field), "msg": message, "input": None}
    return RequestValidationError([error])
