"""Golden cases: checkpoints of the original P-tuning v2 code, and the values that it computed.

`data/` holds a subset and is always tested. The full set lies next to the repository where it is
available; its README describes the files of a case.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from prefixes import Prefix
from prefixes.backbone import Backbone, EncodedText
from prefixes.backbone.kernels.names import PLAIN, Kernels
from prefixes.interop.assembly import ImportOptions
from prefixes.interop.ptuning_v2 import import_ptuning_v2
from prefixes.spec import traits_of
from tests.kernels import load_with
from tests.parity.tokenizer import borrow_tokenizer

KEPT: Final = Path(__file__).parent / "data"
FULL_SET: Final = Path(__file__).parents[2].parent / "shared" / "golden"
FOLDERS: Final = {
    folder.name: folder
    for root in (FULL_SET, KEPT)
    for folder in sorted(root.glob("*"))
    if (folder / "case.json").is_file()
}
"""The folder of each case by its name; the kept copy takes precedence."""

_SCOPES: Final = {"bert": "bert.", "roberta": "roberta."}


@dataclass(frozen=True)
class GoldenCase:
    """One of the original's models: its backbone, its imported prefix, and what it computed."""

    facts: dict[str, Any]
    backbone: Backbone
    checkpoint: Path
    prefix: Prefix
    expected: dict[str, Tensor]
    training: dict[str, Tensor]
    texts: list[EncodedText]

    def rows_of(self, name: str) -> Tensor:
        """Return expected values with one row per text; each choice is a text."""
        tensor = self.expected[name]
        is_choices = self.facts["task"] == "multiple_choice"
        return tensor.flatten(0, 1) if is_choices else tensor


def load_case(name: str, folder: Path, kernels: Kernels = PLAIN) -> GoldenCase:
    """Load a case; `folder` receives copies of its backbone and its checkpoint."""
    source = FOLDERS[name]
    facts = json.loads((source / "case.json").read_text())
    shutil.copytree(source / "backbone", folder / "backbone", copy_function=shutil.copyfile)
    borrow_tokenizer(folder / "backbone")
    backbone = load_with(kernels, folder / "backbone")
    checkpoint = _whole_checkpoint(source, folder / "checkpoint", scope_of(facts))
    numbered = tuple(map(str, range(facts["num_labels"])))
    needs_labels = traits_of(facts["task"]).has_labels and not named_labels(facts)
    options = ImportOptions(labels=numbered if needs_labels else None)
    return GoldenCase(
        facts,
        backbone,
        checkpoint,
        import_ptuning_v2(checkpoint, backbone, options).prefix,
        load_file(source / "expected.safetensors"),
        load_file(source / "training.safetensors"),
        texts_of(load_file(source / "inputs.safetensors")),
    )


def scope_of(facts: dict[str, Any]) -> str:
    """Return what precedes the names of the backbone's tensors in a checkpoint."""
    return _SCOPES.get(facts["arch"], "deberta.")


def named_labels(facts: dict[str, Any]) -> list[str]:
    """Return the labels that the checkpoint names. The SRL task and the regression have none."""
    labels: list[str] = facts["labels"] or []
    return [] if labels[:1] == ["LABEL_0"] else labels


def texts_of(inputs: dict[str, Tensor]) -> list[EncodedText]:
    ids = inputs["input_ids"].flatten(0, -2)
    masks = inputs["attention_mask"].flatten(0, -2)
    types = inputs.get("token_type_ids", torch.zeros_like(inputs["input_ids"])).flatten(0, -2)
    return [
        EncodedText(tokens[:length].tolist(), kinds[:length].tolist())
        for tokens, kinds, length in zip(ids, types, masks.sum(1).tolist(), strict=True)
    ]


def _whole_checkpoint(source: Path, folder: Path, scope: str) -> Path:
    """Add the backbone's tensors to a checkpoint that was kept without them."""
    stored = source / "checkpoint" / "model.safetensors"
    if not stored.exists():
        return source / "checkpoint"
    frozen = load_file(source / "backbone" / "model.safetensors")
    folder.mkdir()
    shutil.copyfile(source / "checkpoint" / "config.json", folder / "config.json")
    named = {f"{scope}{name}": tensor for name, tensor in frozen.items()}
    save_file({**named, **load_file(stored)}, folder / "model.safetensors")
    return folder
