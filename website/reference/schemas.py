"""Schemas of the OpenAPI document, in words."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from website.headings import anchor_of
from website.reference.tables import table

Schema = Mapping[str, Any]

PAGE: Final = "schemas.md"
_BOUNDS: Final = (
    ("minimum", "at least {}"),
    ("exclusiveMinimum", "more than {}"),
    ("maximum", "at most {}"),
    ("exclusiveMaximum", "less than {}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {} items"),
    ("maxItems", "at most {} items"),
    ("pattern", "matches `{}`"),
)


def type_of(schema: Schema, page: str = PAGE) -> str:
    """Describe a type, with links to the page of schemas."""
    if "$ref" in schema:
        name = name_of(schema["$ref"].rpartition("/")[2])
        return f"[{name}]({'' if page == PAGE else PAGE}#{anchor_of(name)})"
    for union in ("anyOf", "oneOf", "allOf"):
        if union in schema:
            return " or ".join(dict.fromkeys(type_of(one, page) for one in schema[union]))
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return ", ".join(f"`{json.dumps(value)}`" for value in values)
    return _plain_type(schema, page)


def _plain_type(schema: Schema, page: str) -> str:
    match schema:
        case {"type": "array"}:
            return f"list of {type_of(schema.get('items', {}), page)}"
        case {"type": "object", "additionalProperties": {} as values}:
            return f"map of {type_of(values, page)}"
        case {"contentMediaType": _} | {"format": "binary"}:
            return "file"
        case _:
            return str(schema.get("type", "any"))


def name_of(schema: str) -> str:
    """Give the name of a schema to show: without the module that FastAPI adds to some."""
    if "__" not in schema:
        return schema.rstrip("_").replace("_", " of ", 1)
    *modules, name = schema.split("__")
    return f"{name} ({modules[-1].removesuffix('_schemas')})" if name else schema


def bounds_of(schema: Schema) -> str:
    """Describe the range of values."""
    options = [schema, *schema.get("anyOf", ())]
    found = [text.format(one[key]) for one in options for key, text in _BOUNDS if key in one]
    return ", ".join(dict.fromkeys(found))


def meaning_of(schema: Schema, description: str | None = None) -> str:
    """Give the description of a value, its range and its default."""
    text = (description or schema.get("description") or "").strip()
    bounds, default = bounds_of(schema), schema.get("default")
    extra = [f"Range: {bounds}."] if bounds else []
    extra += [f"Default: `{json.dumps(default)}`."] if default is not None else []
    return " ".join((text, *extra)).strip()


def members_of(schema: Schema, page: str = PAGE) -> str:
    """Make the table of the members of an object."""
    required = set(schema.get("required", ()))
    rows = (
        (f"`{name}`", type_of(one, page), "yes" if name in required else "", meaning_of(one))
        for name, one in schema.get("properties", {}).items()
    )
    return table(("member", "type", "required", "meaning"), rows)


def schemas_page(schemas: Mapping[str, Schema]) -> str:
    """Write the page of all schemas that requests and responses refer to."""
    return "\n".join(("# Schemas\n", "The objects that requests and responses contain.\n",
                      *_sections(schemas)))  # fmt: skip


def _sections(schemas: Mapping[str, Schema]) -> Iterator[str]:
    for key, schema in sorted(schemas.items(), key=lambda item: name_of(item[0]).lower()):
        yield f"## {name_of(key)}\n"
        yield f"{(schema.get('description') or '').strip()}\n"
        yield members_of(schema) or f"{type_of(schema)}\n"
