"""Prefix: a trained task in memory, and its way to and from the bytes of a prefix file."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from prefixes.checks import check_backbone, check_tensors, parse_spec
from prefixes.errors import PrefixRejected
from prefixes.file import MAX_FILE_BYTES, Container, read_container, write_container
from prefixes.fingerprint import BackboneFingerprint
from prefixes.spec import PrefixSpec

Array = NDArray[np.floating]


@dataclass(frozen=True, slots=True, eq=False)
class HeadTensors:
    """A head's weights: dense [hidden, hidden], [hidden]; output [labels, hidden], [labels]."""

    output_weight: Array
    output_bias: Array
    dense_weight: Array | None = None
    dense_bias: Array | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Prefix:
    """A task's description, its keys and values [L, H, P, D], and its head.

    L layers, H heads, P prefix length, D head size.
    """

    spec: PrefixSpec
    keys: Array
    values: Array
    head: HeadTensors

    @classmethod
    def from_bytes(cls, data: bytes, *, fits: BackboneFingerprint | None = None) -> Self:
        """Read a prefix file; with `fits`, also hold it against that backbone.

        Raises:
            PrefixRejected: with every finding about the container; or, when that is sound,
                about the description; or, when that is sound too, about the tensors and the fit.
        """
        container = read_container(data)
        spec = parse_spec(container.spec_json)
        findings = check_tensors(spec, container.tensors)
        if fits is not None:
            findings += check_backbone(spec, fits)
        if findings:
            raise PrefixRejected(findings)
        tensors = container.tensors
        head = HeadTensors(
            tensors["head.output.weight"],
            tensors["head.output.bias"],
            tensors.get("head.dense.weight"),
            tensors.get("head.dense.bias"),
        )
        return cls(spec, tensors["prefix.keys"], tensors["prefix.values"], head)

    @classmethod
    def load(cls, path: Path, *, fits: BackboneFingerprint | None = None) -> Self:
        """Read a prefix file from a path.

        Raises:
            PrefixRejected: as `from_bytes`.
            OSError: when there is no such file, or it cannot be read.
        """
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)  # one more than allowed is enough to refuse it
        return cls.from_bytes(data, fits=fits)

    def to_bytes(self) -> bytes:
        """Lay out the prefix file.

        Raises:
            PrefixRejected: when the tensors do not fit the description, or the file would be
                larger than a reader accepts.
        """
        tensors = {
            "prefix.keys": self.keys,
            "prefix.values": self.values,
            "head.output.weight": self.head.output_weight,
            "head.output.bias": self.head.output_bias,
        }
        if self.head.dense_weight is not None:
            tensors["head.dense.weight"] = self.head.dense_weight
        if self.head.dense_bias is not None:
            tensors["head.dense.bias"] = self.head.dense_bias
        findings = check_tensors(self.spec, tensors)
        if findings:
            raise PrefixRejected(findings)
        return write_container(Container(self.spec.model_dump_json(), tensors))


def digest_of(data: bytes) -> str:
    """The identity of a prefix: the sha256 of its file's bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
