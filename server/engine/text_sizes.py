"""The sizes of inputs that are not tokenized yet."""

from collections.abc import Iterable, Mapping
from typing import Final

from prefixes.template import InputFields, TokenIds
from server.engine.values import TaskInput

_CHARACTERS_OF_TOKEN: Final = 4
"""About as many as in English text."""


def estimate_tokens(inputs: Iterable[TaskInput]) -> int:
    """Estimate the number of tokens of inputs."""
    return sum(
        len(fields.ids)
        if isinstance(fields := item.fields, TokenIds)
        else num_tokens_of(num_characters(fields))
        for item in inputs
    )


def num_tokens_of(num_characters: int) -> int:
    """Estimate the number of tokens of a text."""
    return 1 + num_characters // _CHARACTERS_OF_TOKEN


def num_characters(fields: InputFields) -> int:
    """Count the characters of an input; of token ids, their number."""
    if isinstance(fields, TokenIds):
        return len(fields.ids)
    values = fields.values() if isinstance(fields, Mapping) else fields
    return sum(len(one) if isinstance(one, str) else sum(map(len, one)) for one in values)
