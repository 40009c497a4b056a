"""Validates manifests against the schemas of Kubernetes, and of custom resources."""

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from tests.helm.charts import Manifest

kubernetes = pytest.importorskip(
    "kubernetes_validate.utils",
    reason="schemas of Kubernetes are not installed: pip install kubernetes-validate",
)

SCHEMAS: Final = Path(__file__).parent / "schemas"
_DEFINITIONS: Final = "/api/_definitions.json"
"""The name by which schemas refer to those of the parts of manifests."""

VERSIONS: Final = ("1.30", "1.37")
"""The oldest version that the chart allows, and the newest that has published schemas."""


def find_problems(manifest: Manifest, version: str) -> list[str]:
    """Report what the API server of a version would reject in a manifest."""
    validator = _validator(manifest["apiVersion"], manifest["kind"], version)
    name = f"{manifest['kind']} {manifest['metadata']['name']}"
    return [
        f"{name}: {error.json_path}: {error.message}" for error in validator.iter_errors(manifest)
    ]


@cache
def _validator(api_version: str, kind: str, version: str) -> jsonschema.Draft202012Validator:
    group, _, short = api_version.rpartition("/")
    custom = SCHEMAS / f"{kind.lower()}.json"
    if custom.exists():
        schema = json.loads(custom.read_text())
    else:
        name = "-".join(filter(None, (kind.lower(), group.split(".")[0], short)))
        schema = _published(name, version)
    return jsonschema.Draft202012Validator(schema, registry=_registry(version))


@cache
def _registry(version: str) -> "Registry[Any]":
    definitions = DRAFT202012.create_resource(_published("_definitions", version))
    registry: Registry[Any] = Registry().with_resource(_DEFINITIONS, definitions)
    return registry


def _published(name: str, version: str) -> Any:
    path = f"kubernetes-json-schema/v{version}.0-local-strict/{name}.json"
    return kubernetes.schema_contents(path, version)
