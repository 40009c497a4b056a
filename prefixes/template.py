"""InputTemplate: how a request's fields become the texts that the tokenizer combines."""

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from pydantic import Field, field_validator

from prefixes.characters import first_surrogate, is_blank
from prefixes.errors import InputRejected
from prefixes.values import Value

MAX_PLACEHOLDERS: Final = 20
MAX_CHOICES: Final = 100

RESERVED_FIELDS: Final = frozenset({"model"})
"""Names that have another meaning in a request, so that no task may have such a field."""

CHOICE: Final = "choice"
CHOICES: Final = "choices"

Fields = Mapping[str, str | Sequence[str]] | tuple[str, ...]
"""A request's input: texts by field name (`choices` is a list of texts), or texts in the order of
the fields."""


@dataclass(frozen=True, slots=True)
class TokenIds:
    """A text as token ids of the backbone's tokenizer, sent in place of the text."""

    ids: tuple[int, ...]


InputFields = Fields | TokenIds

TextPair = tuple[str, str | None]


@lru_cache(maxsize=1024)
def template_fields(template: str) -> tuple[str, ...]:
    """List the field names of a template such as `"{premise} because"`.

    Raises:
        ValueError: for anything but plain `{name}` placeholders. Attributes, indexes and format
            codes would let a template read the program's memory.
    """
    fields = []
    for _, field, spec, conversion in string.Formatter().parse(template):
        if field is None:
            continue
        if not field.isidentifier() or spec or conversion:
            raise ValueError(f"{field!r} is not a plain placeholder such as {{text}}")
        fields.append(field)
    return tuple(fields)


class InputTemplate(Value):
    """How a request's fields become the one or two texts that the tokenizer combines.

    A template that uses `{choice}` is rendered once for each of the request's `choices`.
    """

    text: str = Field(default="{text}", max_length=2000)
    text_pair: str | None = Field(default=None, max_length=2000)

    @field_validator("text", "text_pair")
    @classmethod
    def _has_plain_placeholders(cls, template: str | None) -> str | None:
        if template is None:
            return None
        names = template_fields(template)
        if len(names) == 0:
            raise ValueError("a template needs at least one placeholder such as {text}")
        if len(names) > MAX_PLACEHOLDERS:
            # Each placeholder copies its field: without a limit, short templates make huge texts.
            raise ValueError(
                f"a template may have at most {MAX_PLACEHOLDERS} placeholders, found {len(names)}"
            )
        if CHOICES in names:
            raise ValueError("{choices} is a list: use {choice}, which stands for one of them")
        return template

    @property
    def _placeholders(self) -> tuple[str, ...]:
        names = template_fields(self.text) + template_fields(self.text_pair or "")
        return tuple(dict.fromkeys(names))

    @property
    def has_choices(self) -> bool:
        return CHOICE in self._placeholders

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields that a request must have, in order of first use."""
        return tuple(CHOICES if name == CHOICE else name for name in self._placeholders)

    def named(self, values: Fields) -> Mapping[str, str | Sequence[str]]:
        """Return the fields of a request by name.

        Raises:
            InputRejected: when a field is missing or unknown.
        """
        expected = ", ".join(self.fields)
        if isinstance(values, tuple):
            if len(values) != len(self.fields) or self.has_choices:
                found = f"{len(values)} without names"
                raise InputRejected(f"The task takes the fields: {expected}; found: {found}")
            return dict(zip(self.fields, values, strict=True))
        if set(values) != set(self.fields):
            found = ", ".join(map(repr, sorted(values))) or "none"
            raise InputRejected(f"The task takes the fields: {expected}; found: {found[:200]}")
        return values

    def num_read(self, texts: Mapping[str, str], ends: tuple[int, int]) -> dict[str, int]:
        """Count the characters of each field that stand before the ends of the rendered texts.

        Args:
            texts: the text of each field.
            ends: how far the text and the pair are read, in characters.
        """
        counts = dict.fromkeys(texts, 0)
        for template, end in zip((self.text, self.text_pair or ""), ends, strict=True):
            start = 0
            for literal, field, _, _ in string.Formatter().parse(template):
                start += len(literal)
                if field is not None:
                    size = len(texts[field])
                    counts[field] = max(counts[field], min(size, end - start))
                    start += size
        return counts

    def render(self, values: Fields, *, max_characters: int | None = None) -> list[TextPair]:
        """Fill the templates with a request's fields: once, or once per choice.

        Only the first `max_characters` of each field are used. Otherwise placeholders that repeat
        a long field for a hundred choices could turn a request of a megabyte into gigabytes.

        Raises:
            InputRejected: when a field is missing, unknown, of the wrong type, blank, or not valid
                Unicode.
        """
        named = self.named(values)
        texts = {
            name: _text(name, value)[:max_characters]
            for name, value in named.items()
            if name != CHOICES
        }
        if not self.has_choices:
            return [self._fill(texts)]
        choices = _choices(named[CHOICES])
        return [self._fill({**texts, CHOICE: choice[:max_characters]}) for choice in choices]

    def _fill(self, texts: Mapping[str, str]) -> TextPair:
        pair = None if self.text_pair is None else self.text_pair.format_map(texts)
        return self.text.format_map(texts), pair


def _choices(values: str | Sequence[str]) -> list[str]:
    if isinstance(values, str) or not 2 <= len(values) <= MAX_CHOICES:
        found = "a text" if isinstance(values, str) else f"{len(values)} choices"
        raise InputRejected(
            f"The field 'choices' must be a list of 2 to {MAX_CHOICES} texts; found: {found}"
        )
    return [_text(f"choices[{place}]", value) for place, value in enumerate(values)]


def _text(name: str, value: str | Sequence[str]) -> str:
    if not isinstance(value, str):
        raise InputRejected(f"The field {name!r} is a list: expected text")
    if is_blank(value):
        found = "white space or invisible characters only" if value else "no characters"
        raise InputRejected(f"The field {name!r} is empty: expected text, found {found}")
    place = first_surrogate(value)
    if place is not None:
        raise InputRejected(
            f"The field {name!r} is not valid Unicode: expected whole characters, found half of a "
            f"surrogate pair at character {place}"
        )
    return value
