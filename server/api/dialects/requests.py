"""Requests of other servers' dialects: the base class, texts or token ids, and dimensions.

Other servers ignore unknown members, and their clients rely on that. These routes do the same, and
accept null for every optional member. The server's own routes are strict.
"""

import logging
from collections.abc import Iterable
from typing import Annotated, Any, Final

from pydantic import ConfigDict, Discriminator, Field, Tag

from prefixes.errors import InputRejected
from prefixes.template import TokenIds
from prefixes.values import Value, at_most
from server.api.inference import InputItem
from server.api.schemas import MAX_INPUTS
from server.engine.values import InferenceResult

_log = logging.getLogger(__name__)

_MAX_NOTED: Final = 200
_MAX_IDS: Final = 100_000
_noted: set[tuple[str, str]] = set()


class DialectRequest(Value):
    """A request whose unknown members are ignored. The log names each of them once."""

    model_config = ConfigDict(strict=True, extra="allow")

    def model_post_init(self, _context: object) -> None:
        """Log the members that are ignored."""
        if self.model_extra:
            _note_ignored(type(self).__name__, self.model_extra)


def _note_ignored(request: str, names: Iterable[str]) -> None:
    """Log names that are new, 200 in all: senders could otherwise fill the log."""
    for name in names:
        noted = (request, name[:80])
        if noted not in _noted and len(_noted) < _MAX_NOTED:
            _noted.add(noted)
            _log.info("%s: ignoring the unknown member %r in this and all later requests", *noted)


def _texts_kind(value: Any) -> str | None:
    match value:
        case str():
            return "(text)"
        case [int(), *_]:
            return "(ids)"
        case [list(), *_]:
            return "(lists of ids)"
        case list():
            return "(texts)"
        case _:
            return None


_Id = Annotated[int, Field(ge=0, lt=2**31)]
_Ids = Annotated[list[_Id], Field(fail_fast=True), at_most(_MAX_IDS)]

TextsOrIds = Annotated[
    Annotated[str, Tag("(text)")]
    | Annotated[list[str], Field(fail_fast=True), at_most(MAX_INPUTS), Tag("(texts)")]
    | Annotated[_Ids, Tag("(ids)")]
    | Annotated[list[_Ids], Field(fail_fast=True), at_most(MAX_INPUTS), Tag("(lists of ids)")],
    Discriminator(
        _texts_kind,
        custom_error_type="bad_input",
        custom_error_message="expected a text, a list of texts, a list of token ids, or a list of "
        "such lists",
    ),
]
"""The `input` of OpenAI's embeddings. Ids are those of the backbone's tokenizer."""


TEXTS_OR_IDS: Final = (
    "A text, a list of texts, a list of token ids, or a list of such lists. Ids are those of the "
    "backbone's tokenizer."
)
"""Describes `TextsOrIds` in the OpenAPI document."""

Dimensions = Annotated[
    int | None, Field(ge=1, description="Null, or the number of dimensions of the task's vectors.")
]


def input_items(value: str | list[str] | list[int] | list[list[int]]) -> list[InputItem]:
    """Return one input for each text or list of ids."""
    if isinstance(value, str):
        return [InputItem((value,))]
    if value and isinstance(value[0], int):
        return [_input_item(value)]
    return [_input_item(item) for item in value]


def _input_item(item: Any) -> InputItem:
    return InputItem((item,)) if isinstance(item, str) else InputItem(TokenIds(tuple(item)))


def check_dimensions(answers: Iterable[InferenceResult], dimensions: int | None) -> None:
    """Reject requests for shorter vectors: tasks are not trained for that.

    Raises:
        InputRejected: when the vectors have another number of dimensions.
    """
    for answer in answers:
        size = answer.outputs[0].size
        if dimensions not in {None, size}:
            raise InputRejected(
                f"`dimensions` is {dimensions}, but the vectors of {answer.version} have {size} "
                f"and cannot be shortened. Omit `dimensions`, or send {size}."
            )
