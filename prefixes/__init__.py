"""Prefixes: their files, the backbones they fit, and the registry that stores them."""

from prefixes.errors import PrefixError, PrefixRejected
from prefixes.findings import Finding
from prefixes.fingerprint import BackboneFingerprint
from prefixes.names import PrefixRef
from prefixes.prefix import Prefix, digest_of
from prefixes.spec import AnswerSpec, GoldenExample, HeadSpec, PrefixSpec, Provenance
from prefixes.template import InputTemplate

__all__ = [
    "AnswerSpec",
    "BackboneFingerprint",
    "Finding",
    "GoldenExample",
    "HeadSpec",
    "InputTemplate",
    "Prefix",
    "PrefixError",
    "PrefixRef",
    "PrefixRejected",
    "PrefixSpec",
    "Provenance",
    "digest_of",
]
