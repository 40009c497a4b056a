"""Small sets in the official formats, of made-up rows."""

from pathlib import Path

from tests.training.datasets.samples.glue import GLUE, write_glue
from tests.training.datasets.samples.squad import write_squad
from tests.training.datasets.samples.superglue import SUPERGLUE, unlabeled, write_superglue
from tests.training.datasets.samples.tagging import (
    CONLL04,
    ONTONOTES,
    SRL,
    conll03,
    write_tagging,
)

__all__ = [
    "CONLL04",
    "GLUE",
    "ONTONOTES",
    "SRL",
    "SUPERGLUE",
    "conll03",
    "unlabeled",
    "write_glue",
    "write_set",
    "write_squad",
    "write_superglue",
    "write_tagging",
]


def write_set(folder: Path, family: str, name: str) -> Path:
    """Write a sample of any set into a folder, as its official files."""
    writers = {"superglue": write_superglue, "glue": write_glue, "qa": write_squad}
    return writers.get(family, write_tagging)(folder, name)
