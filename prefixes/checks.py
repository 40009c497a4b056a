"""The checks that a prefix passes before it is served. Each returns all its findings."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from prefixes.errors import PrefixRejected
from prefixes.file import ADDITIONS_KEY, DTYPES
from prefixes.findings import Finding
from prefixes.fingerprint import BackboneFingerprint
from prefixes.spec import ADDITIONS, PrefixSpec

Findings = tuple[Finding, ...]

MAX_LISTED = 100
"""Maximum number of listed defects per description; a hostile one could have thousands."""


def parse_spec(text: str, additions: str | None = None) -> PrefixSpec:
    """Parse the description in a file's metadata, and the fields that were added to it later.

    Raises:
        PrefixRejected: with one finding per field that is missing, unknown or out of range, up to
            `MAX_LISTED`.
    """
    try:
        spec = PrefixSpec.model_validate_json(text)
        if additions is None:
            return spec
        return PrefixSpec.model_validate({**dict(spec), **_parse_additions(additions)})
    except ValidationError as error:
        findings = tuple(
            Finding(
                "bad_spec",
                ".".join(["spec", *(str(part) for part in detail["loc"])]),
                detail["msg"],
                repr(detail["input"])[:200],
            )
            for detail in error.errors(include_url=False, include_context=False)[:MAX_LISTED]
        )
        raise PrefixRejected(findings) from error


def _parse_additions(text: str) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _bad_additions("a JSON object", f"{type(error).__name__}: {error}") from error
    if not isinstance(fields, dict):
        raise _bad_additions("a JSON object", type(fields).__name__)
    if unknown := fields.keys() - ADDITIONS:
        known = ", ".join(sorted(ADDITIONS))
        raise _bad_additions(f"only the fields {known}", repr(min(unknown)))
    return fields


def _bad_additions(expected: str, found: str) -> PrefixRejected:
    return PrefixRejected((Finding("bad_spec", ADDITIONS_KEY, expected, found[:200]),))


def expected_shapes(spec: PrefixSpec) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of every tensor that a file with this description contains."""
    backbone = spec.backbone
    hidden = backbone.hidden_size
    shapes: dict[str, tuple[int, ...]] = {}
    if spec.method == "vectors":
        both = (backbone.num_layers, 2, hidden)
        shapes |= {"norms.scales": both, "norms.shifts": both}
        if spec.rank:
            matrix = (backbone.num_layers, 2, spec.rank, hidden)
            shapes |= {"norms.down": matrix, "norms.up": matrix}
    elif spec.method == "prefix":
        kv = (backbone.num_layers, backbone.num_heads, spec.prefix_length, backbone.head_size)
        shapes |= {"prefix.keys": kv, "prefix.values": kv}
    elif spec.method == "prompt":
        shapes["prompt.embeddings"] = (spec.prefix_length, backbone.embedding_size or hidden)
    if spec.head.activation is not None:
        shapes |= {"head.dense.weight": (hidden, hidden), "head.dense.bias": (hidden,)}
    if spec.num_outputs is not None:
        shapes["head.output.weight"] = (spec.num_outputs, hidden)
        shapes["head.output.bias"] = (spec.num_outputs,)
    return shapes


def check_tensors(spec: PrefixSpec, tensors: Mapping[str, NDArray[Any]]) -> Findings:
    """Compare the tensors with the description: names, shapes, types, finite numbers."""
    shapes = expected_shapes(spec)
    findings = [
        Finding(
            "unexpected_tensor",
            name[:200],
            "only tensors of the description",
            f"shape {tensor.shape}",
        )
        for name, tensor in tensors.items()
        if name not in shapes
    ]
    for name, shape in shapes.items():
        findings += _check_tensor(name, shape, tensors.get(name))
    return tuple(findings)


def _check_tensor(name: str, shape: tuple[int, ...], tensor: NDArray[Any] | None) -> list[Finding]:
    if tensor is None:
        return [Finding("missing_tensor", name, f"shape {shape}", "no such tensor")]
    if tensor.dtype not in DTYPES.values():
        return [Finding("bad_dtype", name, "float32 or float16", str(tensor.dtype))]
    if tensor.shape != shape:
        return [Finding("bad_shape", name, f"shape {shape}", f"shape {tensor.shape}")]
    broken = tensor.size - int(np.isfinite(tensor).sum())
    if broken:
        return [Finding("not_finite", name, "finite numbers", f"{broken} NaN or infinite values")]
    return []


def check_backbone(spec: PrefixSpec, backbone: BackboneFingerprint) -> Findings:
    """Report every fact in which the backbone differs from the one the prefix was trained on."""
    return tuple(
        Finding(
            "backbone_mismatch",
            "spec.backbone",
            f"a prefix for {backbone.name}",
            difference,
            "train the prefix on this backbone, or serve it with the one it was trained on",
        )
        for difference in spec.backbone.differences(backbone)
    )


def check_backbones(spec: PrefixSpec, served: Sequence[BackboneFingerprint]) -> Findings:
    """Report why the prefix fits none of the backbones of a server; nothing if it fits one."""
    if len(served) == 1:
        return check_backbone(spec, served[0])
    if any(not spec.backbone.differences(backbone) for backbone in served):
        return ()
    return (
        Finding(
            "backbone_mismatch",
            "spec.backbone",
            f"one of the backbones {', '.join(backbone.label for backbone in served)}",
            spec.backbone.label,
            "train the prefix on one of these backbones, or serve the one it was trained on",
        ),
    )
