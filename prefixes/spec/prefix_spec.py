"""PrefixSpec: the validated description of a prefix."""

from typing import Final, Self

from pydantic import model_validator

from prefixes.spec.consistency import problems_of
from prefixes.spec.spec_fields import SpecFields

ADDITIONS: Final = frozenset({"decisions", "rank"})
"""Fields that version 0.1.0 does not know. A file has them apart from the others, and only if they
differ from their default."""


class PrefixSpec(SpecFields):
    """All that a server must know about a prefix in addition to its tensors.

    `SpecFields` explains the fields.
    """

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        problems = problems_of(self)
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def written(self) -> tuple[str, str | None]:
        """Return the JSON of the fields of version 0.1.0, and that of all additions, if any."""
        fields = type(self).model_fields
        set_later = {name for name in ADDITIONS if getattr(self, name) != fields[name].default}
        additions = self.model_dump_json(include=set_later, exclude_none=True)
        return self.model_dump_json(exclude=set(ADDITIONS)), additions if set_later else None
