"""Copy a subset of the golden cases into `tests/parity/data`.

Not a test. Run it from the repository's root, with the folder of the full set:

    python -m tests.parity.keep_golden_cases ../shared/golden

A checkpoint repeats the tensors of its backbone. They are left out here, as are the duplicates that
the original's prompt classes save under a second name; the tests add the former again.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import load_file, save_file

from tests.parity.golden import KEPT, scope_of

CASES: Final = (
    "bert_mc_prompt",
    "bert_qa_prefix",
    "bert_seq_prefix",
    "deberta_seq_prefix_proj",
    "deberta_token_prefix_proj",
    "debertav2_token_prefix",
    "debertav2_token_prefix_conv_proj",
    "roberta_mc_prompt",
    "roberta_qa_prefix_proj",
    "roberta_seq_prompt",
)
"""The smallest cases in which each architecture, task type and method occurs."""


def keep(source: Path, target: Path) -> None:
    """Copy one case."""
    for name in ("case.json", "expected.safetensors", "inputs.safetensors", "training.safetensors"):
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)
    shutil.copytree(
        source / "backbone", target / "backbone", copy_function=shutil.copyfile, dirs_exist_ok=True
    )
    (target / "checkpoint").mkdir(exist_ok=True)
    shutil.copyfile(source / "checkpoint/config.json", target / "checkpoint/config.json")
    scope = scope_of(json.loads((source / "case.json").read_text()))
    frozen = load_file(source / "backbone/model.safetensors")
    trained = torch.load(source / "checkpoint/pytorch_model.bin", weights_only=True)
    kept = {
        name: tensor.clone()
        for name, tensor in trained.items()
        if not name.startswith("embeddings.")
        and not (
            name.removeprefix(scope) in frozen
            and torch.equal(frozen[name.removeprefix(scope)], tensor)
        )
    }
    save_file(kept, target / "checkpoint/model.safetensors")


def main(full_set: Path) -> None:
    """Copy the subset, in place of an earlier one."""
    for name in CASES:
        keep(full_set / name, KEPT / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
