"""The page of Python modules that users import. mkdocstrings fills it in."""

from typing import Final

_MODULES: Final = {
    "polyprefix_client": (
        "The client of a server",
        ("Client", "AsyncClient"),
    ),
    "prefixes": (
        "Prefixes: their files, descriptions and names",
        ("Prefix", "PrefixSpec", "PrefixRef", "BackboneFingerprint", "Finding", "PrefixRejected"),
    ),
    "prefixes.backbone": (
        "The forward pass",
        ("load_backbone", "Backbone", "pool_of", "run_mixed"),
    ),
    "prefixes.registry": (
        "The registry",
        ("open_registry", "PrefixRegistry"),
    ),
}

_OPTIONS: Final = {"Client": "    options:\n      inherited_members: true\n"}
"""Further options of a directive. The asynchronous client has the same methods."""

_INTRODUCTION: Final = """# Python modules

Scripts may import the following modules. Callers of a server need only `polyprefix_client`, which
[Python client](../python-client.md) introduces.
"""


def python_page() -> str:
    """Write the page, with a directive of mkdocstrings for each name."""
    parts = [_INTRODUCTION]
    for module, (title, names) in _MODULES.items():
        parts.append(f"## {title}\n\nImport these from `{module}`.\n")
        parts += [f"::: {module}.{name}\n{_OPTIONS.get(name, '')}" for name in names]
    return "\n".join(parts)
