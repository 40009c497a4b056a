"""What a prefix is, what it fits and where it is kept."""

from prefixes.errors import PrefixError, PrefixRejected
from prefixes.findings import Finding
from prefixes.fingerprint import BackboneFingerprint
from prefixes.names import PrefixRef
from prefixes.prefix import HeadTensors, Prefix, digest_of
from prefixes.spec import (
    GoldenExample,
    HeadSpec,
    InputTemplate,
    PrefixSpec,
    Provenance,
)

__all__ = [
    "BackboneFingerprint",
    "Finding",
    "GoldenExample",
    "HeadSpec",
    "HeadTensors",
    "InputTemplate",
    "Prefix",
    "PrefixError",
    "PrefixRef",
    "PrefixRejected",
    "PrefixSpec",
    "Provenance",
    "digest_of",
]
