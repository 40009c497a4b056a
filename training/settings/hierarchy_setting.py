"""The setting for the tree over labels: a word, or the parent of each label."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Tag

from prefixes.spec.hierarchy import Parents


def _kind(value: Any) -> str | None:
    match value:
        case str():
            return "(word)"
        case dict():
            return "(parents)"
        case _:
            return None


HierarchySetting = Annotated[
    Annotated[Literal["labels"], Tag("(word)")] | Annotated[Parents, Tag("(parents)")],
    Discriminator(
        _kind,
        custom_error_type="bad_hierarchy",
        custom_error_message="expected 'labels', or an object with the parent of each label",
    ),
]
"""`labels` splits labels at `/`. One kind is validated, so that a mistake has one error."""
