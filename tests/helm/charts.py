"""Renders the Helm chart with Helm's own engine, and reads the manifests."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

helm = pytest.importorskip(
    "helm_python", reason="Helm's engine is not installed: pip install helm-python-sdk"
)

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "deploy" / "helm"
CHART: Final = FOLDER / "polyprefix"
RELEASE: Final = "demo"
NAMESPACE: Final = "apps"

Manifest = dict[str, Any]
Values = Mapping[str, Any]


class _UniqueKeys(yaml.SafeLoader):  # type: ignore[misc]  # yaml has no types
    """Rejects a mapping with a repeated key, as the API server does and YAML readers do not."""

    def construct_mapping(self, node: yaml.MappingNode, *arguments: Any, **options: Any) -> Any:
        keys = [self.construct_object(key) for key, _ in node.value]
        repeated = {key for key in keys if keys.count(key) > 1}
        if repeated:
            raise yaml.constructor.ConstructorError(
                None, None, f"repeated keys {repeated}", node.start_mark
            )
        return super().construct_mapping(node, *arguments, **options)


def render(values: Values, chart: Path = CHART) -> list[Manifest]:
    """Render a chart as `helm template` does, which also checks the schema of the values.

    Raises:
        helm.HelmError: when Helm rejects the values or a template.
    """
    with helm.Chart.load(chart) as loaded:
        files: dict[str, str] = loaded.render(dict(values), name=RELEASE, namespace=NAMESPACE)
    manifests = (name for name in sorted(files) if name.endswith(".yaml"))
    return [manifest for name in manifests for manifest in _read(files[name])]


def notes(values: Values) -> str:
    """The text that `helm install` prints."""
    with helm.Chart.load(CHART) as loaded:
        files: dict[str, str] = loaded.render(dict(values), name=RELEASE, namespace=NAMESPACE)
    return files["polyprefix/templates/NOTES.txt"]


def _read(text: str) -> Iterator[Manifest]:
    yield from filter(None, yaml.load_all(text, _UniqueKeys))


def values_file(name: str) -> Values:
    """The values of a file next to the chart."""
    loaded: Values = yaml.safe_load((FOLDER / name).read_text())
    return loaded


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def the(manifests: list[Manifest], kind: str) -> Manifest:
    """The only manifest of a kind."""
    (found,) = of_kind(manifests, kind)
    return found


def copy_with(folder: Path, name: str, part: str, replacement: str) -> Path:
    """A copy of the chart in which one file says something else."""
    chart = folder / CHART.name
    shutil.copytree(CHART, chart)  # follows symbolic links
    path = chart / name
    text = path.read_text()
    assert part in text, f"{name} does not contain {part!r}"
    path.write_text(text.replace(part, replacement, 1))
    return chart


def pod_templates(manifests: list[Manifest]) -> dict[str, Manifest]:
    """The pods and templates of pods of all manifests, by a name for messages."""
    found: dict[str, Manifest] = {}
    for manifest in manifests:
        kind, spec = manifest["kind"], manifest.get("spec", {})
        if kind == "Pod":
            found["test"] = manifest
        elif kind in {"Deployment", "StatefulSet"}:
            found["server"] = spec["template"]
        elif kind == "RayService":
            cluster = spec["rayClusterConfig"]
            found["head"] = cluster["headGroupSpec"]["template"]
            for group in cluster["workerGroupSpecs"]:
                found[group["groupName"]] = group["template"]
    return found


def merged(values: Values, others: Values) -> dict[str, Any]:
    """Combine values as Helm combines several files: mappings are merged, others replaced."""
    result = dict(values)
    for key, value in others.items():
        before = result.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            value = merged(before, value)  # noqa: PLW2901
        result[key] = value
    return result
