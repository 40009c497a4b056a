"""The pages of the HTTP API, from the OpenAPI document of the server."""

import contextlib
import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast

from prefixes.registry import open_registry
from server.api.access import role_of
from server.app import create_app
from server.observability.metrics import Metrics
from server.settings import Settings
from website.headings import anchor_of
from website.reference.schemas import Schema, meaning_of, members_of, schemas_page, type_of
from website.reference.tables import table

_FOLDER: Final = "reference/http"
_INTRODUCTION: Final = """# Routes

All routes of the server, from its OpenAPI document. A running server shows the same document at
`/docs`, and as JSON at `/openapi.json`. [HTTP API](../../http-api.md) describes how to use them.
"""
_ERRORS: Final = "4"


def openapi_document() -> dict[str, Any]:
    """Make the OpenAPI document, without a backbone or a device."""
    with tempfile.TemporaryDirectory() as folder:
        registry = open_registry(Path(folder))
        absent = cast("Any", None)  # routes are described, and none is called
        try:
            app = create_app(
                Settings(store_folder=Path(folder)),
                backbones=absent,
                engine=absent,
                registry=registry,
                metrics=Metrics(),
                while_served=contextlib.nullcontext(),
            )
            return app.openapi()
        finally:
            registry.close()


def http_pages() -> Iterator[tuple[str, str]]:
    """Give the path and the text of each page: an index, one for each tag, and the schemas."""
    document = openapi_document()
    tags = defaultdict(list)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            tags[operation["tags"][0]].append((f"{method.upper()} {path}", operation))
    yield f"{_FOLDER}/README.md", _index(tags)
    for tag, routes in tags.items():
        sections = "\n".join(_section(name, operation) for name, operation in routes)
        yield f"{_FOLDER}/{tag}.md", f"# Routes: {tag}\n\n{sections}"
    yield f"{_FOLDER}/schemas.md", schemas_page(document["components"]["schemas"])


def _index(tags: dict[str, list[tuple[str, Schema]]]) -> str:
    rows = (
        (f"[`{route}`]({tag}.md#{anchor_of(route)})", _role(route), operation["summary"])
        for tag, routes in tags.items()
        for route, operation in routes
    )
    return f"{_INTRODUCTION}\n{table(('route', 'role', 'purpose'), rows)}"


def _role(route: str) -> str:
    """Give the lowest role that may call a route."""
    method, _, path = route.partition(" ")
    with contextlib.suppress(LookupError):
        return role_of(method, path.replace("{model}", "{model:path}")) or "any, or no key"
    return "none"


def _section(route: str, operation: Schema) -> str:
    return "\n".join((
        f"## {route}\n",
        f"{operation['summary']}. {operation.get('description', '')}\n",
        f"Lowest role: {_role(route)}.\n",
        _parameters(operation),
        *_body(operation),
        _responses(operation),
    ))  # fmt: skip


def _parameters(operation: Schema) -> str:
    rows = (
        (
            f"`{one['name']}`",
            one["in"],
            type_of(one["schema"], ""),
            "yes" if one.get("required") else "",
            meaning_of(one["schema"], one.get("description")),
        )
        for one in operation.get("parameters", ())
    )
    return table(("parameter", "in", "type", "required", "meaning"), rows)


def _body(operation: Schema) -> Iterator[str]:
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = content.get("schema", {})
        yield f"Body: `{media_type}`, {type_of(schema, '')}.\n"
        if "$ref" not in schema:
            yield members_of(schema, "")
        for name, example in content.get("examples", {}).items():
            shown = json.dumps(example["value"], indent=2, ensure_ascii=False)
            yield f"Example, {name}:\n\n```json\n{shown}\n```\n"


def _responses(operation: Schema) -> str:
    rows = [
        (status, response["description"], ", ".join(_contents(response)))
        for status, response in operation["responses"].items()
        if not status.startswith(_ERRORS)
    ]
    errors = [f"`{status}`" for status in operation["responses"] if status.startswith(_ERRORS)]
    problems = f"Errors: {', '.join(errors)}, as [ProblemBody](schemas.md#problembody).\n"
    return table(("status", "meaning", "body"), rows) + (f"\n{problems}" if errors else "")


def _contents(response: Schema) -> Iterator[str]:
    for media_type, content in response.get("content", {}).items():
        yield f"`{media_type}`: {type_of(content.get('schema', {}), '')}"
