"""Prefix: a trained task in memory, read from and written to a prefix file."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from prefixes.checks import check_backbones, check_tensors, parse_spec
from prefixes.errors import PrefixRejected
from prefixes.file import MAX_FILE_BYTES, Container, read_container, write_container
from prefixes.fingerprint import BackboneFingerprint
from prefixes.spec import PrefixSpec

Array = NDArray[np.floating]


@dataclass(frozen=True, slots=True, eq=False)
class Prefix:
    """A task's description, and its tensors by their names in the file.

    `prefix.keys` and `prefix.values` `[L, H, P, D]`, or `prompt.embeddings` `[P, E]`, or neither;
    `head.dense.weight` `[hidden, hidden]`, `head.dense.bias` `[hidden]`, `head.output.weight`
    `[outputs, hidden]`, `head.output.bias` `[outputs]`, depending on the description.

    L layers, H heads, P prefix length, D head size, E size of the backbone's embeddings.
    """

    spec: PrefixSpec
    tensors: Mapping[str, Array]

    @classmethod
    def from_bytes(cls, data: bytes, *, fits: Sequence[BackboneFingerprint] = ()) -> Self:
        """Read a prefix file; with `fits`, also check that it fits one of these backbones.

        Raises:
            PrefixRejected: with every finding about the container. If the container is valid, with
                those about the description; if that is valid too, about tensors and backbone.
        """
        container = read_container(data)
        spec = parse_spec(container.spec_json, container.additions_json)
        findings = check_tensors(spec, container.tensors)
        if fits:
            findings += check_backbones(spec, fits)
        if findings:
            raise PrefixRejected(findings)
        return cls(spec, container.tensors)

    @classmethod
    def load(cls, path: Path, *, fits: Sequence[BackboneFingerprint] = ()) -> Self:
        """Read a prefix file from a path.

        Raises:
            PrefixRejected: as `from_bytes`.
            OSError: when the file does not exist or cannot be read.
        """
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)  # one byte too many is enough to reject it
        return cls.from_bytes(data, fits=fits)

    def to_bytes(self) -> bytes:
        """Serialize the prefix as a file.

        Raises:
            PrefixRejected: when the tensors do not fit the description, or the file would be
                larger than a reader accepts.
        """
        findings = check_tensors(self.spec, self.tensors)
        if findings:
            raise PrefixRejected(findings)
        spec, additions = self.spec.written()
        return write_container(Container(spec, dict(self.tensors), additions))

    @property
    def num_values(self) -> int:
        """Count the numbers of all tensors."""
        return sum(tensor.size for tensor in self.tensors.values())


def digest_of(data: bytes) -> str:
    """Return the identity of a prefix: the SHA-256 of its file, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
