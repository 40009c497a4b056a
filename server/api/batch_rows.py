"""Rows of batch files: from JSON to inputs, and from results to lines."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from pydantic import ConfigDict, TypeAdapter, ValidationError

from prefixes.errors import StoreUnavailable
from server.api.inference import InputItem
from server.api.problems import problem_of
from server.api.results import OutputOptions, results_of
from server.api.schemas import Item
from server.api.unicode_json import check_unicode
from server.batch_files.input_rows import InputRow, model_name
from server.batch_files.models import FixedModels
from server.batch_files.results import ResultLine
from server.engine.values import InferenceResult, TaskInput
from server.errors import InferenceFailed

_log = logging.getLogger(__name__)

_ITEM: Final = TypeAdapter[Any](Item, config=ConfigDict(strict=True))
_MAX_ID: Final = 256

RowId = str | int | None


@dataclass(frozen=True, slots=True)
class PreparedRow:
    """A row that the engine can run, with the version that answers it."""

    index: int
    id: RowId
    item: TaskInput


def prepare(row: InputRow, index: int, models: FixedModels) -> PreparedRow | ResultLine:
    """Read a row; return the line of its error if it is not valid."""
    row_id: RowId = None
    try:
        value = _checked(row)
        row_id = _id_of(value)
        _check_harmless(row)
        fields = value
        if isinstance(value, dict):
            fields = {name: part for name, part in value.items() if name != "id"}
        item = InputItem.of(_validated(fields))
    except Exception as error:  # noqa: BLE001 - `error_line` logs what is unexpected
        return error_line(index, row_id, error)
    model = models[model_name(item.model)]
    if model.ref is None:
        return _line(index, row_id, {"error": dict(model.problem or {})}, is_failed=True)
    return PreparedRow(index, row_id, TaskInput(model.ref, item.fields, model.rules))


def result_line(row: PreparedRow, result: InferenceResult, options: OutputOptions) -> ResultLine:
    """Write the result of a row, or the error of its outputs."""
    try:
        (shown,) = results_of([result], options)
    except Exception as error:  # noqa: BLE001 - as in `prepare`
        return error_line(row.index, row.id, error)
    shown.index = row.index
    text = shown.model_dump_json(exclude_none=True)
    start = "{" if row.id is None else f'{{"id":{json.dumps(row.id, ensure_ascii=False)},'
    return ResultLine(f"{start}{text[1:]}\n".encode(), is_failed=False)


def error_line(index: int, row_id: RowId, error: Exception) -> ResultLine:
    """Write the error of a row. One that its owner cannot see is logged."""
    problem = problem_of(error)
    if problem.code == "internal_error" or isinstance(error, StoreUnavailable):
        _log.error("a row of a batch failed", exc_info=error)
    return _line(index, row_id, {"error": problem.document()}, is_failed=True)


def _line(index: int, row_id: RowId, members: Mapping[str, Any], *, is_failed: bool) -> ResultLine:
    start = {} if row_id is None else {"id": row_id}
    # ASCII only: an error may quote half a surrogate pair, which UTF-8 cannot encode.
    text = json.dumps({**start, "index": index, **members}, separators=(",", ":"))
    return ResultLine(f"{text}\n".encode(), is_failed=is_failed)


def _checked(row: InputRow) -> Any:
    if row.defect is not None:
        raise _invalid(row.defect)
    check_unicode(row.value)
    return row.value


def _check_harmless(row: InputRow) -> None:
    if row.has_crashed:
        raise InferenceFailed(
            "The server's process ended each time it ran this row. Report it with the row, and "
            "send the row in another form."
        )


def _id_of(value: Any) -> RowId:
    found = value.get("id") if isinstance(value, dict) else None
    is_number = isinstance(found, int) and not isinstance(found, bool)
    if found is None or is_number or (isinstance(found, str) and len(found) <= _MAX_ID):
        return found
    raise _invalid(f"expected a text of at most {_MAX_ID} characters, or an integer", "id")


def _validated(fields: Any) -> Any:
    try:
        return _ITEM.validate_python(fields)
    except ValidationError as error:
        details = error.errors(include_url=False)
        located = [{**detail, "loc": ("body", *detail["loc"])} for detail in details]
        raise RequestValidationError(located, body=fields) from error


def _invalid(message: str, field: str = "row") -> RequestValidationError:
    error = {"type": "value_error", "loc": ("body", field), "msg": message, "input": None}
    return RequestValidationError([error])
