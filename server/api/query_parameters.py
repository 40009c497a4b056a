"""Query parameters that a request repeats although they have a single value.

FastAPI would use the last value and ignore the others: an export would look complete although one
of its two filters was dropped.
"""

from collections import Counter
from collections.abc import Collection
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

from fastapi import Request, params
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError

_MESSAGE: Final = "expected one value; found {number}. Send the parameter once."


def single_parameters(dependant: Dependant) -> frozenset[str]:
    """Return the names of a handler's query parameters that are not lists."""
    return frozenset(
        field.alias
        for field in get_flat_params(dependant)
        if _is_of_query(field.field_info) and not _is_list(field.field_info.annotation)
    )


def _is_of_query(info: Any) -> bool:
    """Return whether a parameter is in the query; all models of parameters are."""
    return isinstance(info, params.Query) or not isinstance(info, params.Param)


def check_single(request: Request, names: Collection[str]) -> None:
    """Check that a request has at most one value of each of these query parameters.

    Raises:
        RequestValidationError: naming each parameter that is repeated.
    """
    if not names or not request.scope["query_string"]:
        return
    found = Counter(name for name, _ in request.query_params.multi_items() if name in names)
    errors = [_repeated(name, number) for name, number in found.items() if number > 1]
    if errors:
        raise RequestValidationError(errors)


def _is_list(annotation: Any) -> bool:
    is_union = get_origin(annotation) in {Union, UnionType}
    types = get_args(annotation) if is_union else (annotation,)
    return any(get_origin(one) is list for one in types)


def _repeated(name: str, number: int) -> dict[str, object]:
    message = _MESSAGE.format(number=number)
    return {"type": "value_error", "loc": ("query", name), "msg": message, "input": None}
