"""The teacher that a folder holds: a fine-tuned model of any architecture of transformers."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from prefixes import InputTemplate, PrefixSpec
from prefixes.backbone import Backbone
from training.data.lessons import Logits
from training.errors import PlanRejected, few
from training.examples import Examples

_ROWS_AT_ONCE: Final = 16
_SUFFIXES: Final = frozenset({".json", ".safetensors", ".bin", ".txt", ".model"})
_UNUSED_POSITIONS: Final = 2
"""RoBERTa and its relatives count positions from the padding token on."""


@dataclass(frozen=True, slots=True, eq=False)
class FolderTeacher:
    """A model and its own tokenizer. `order` has its number of each label of the task."""

    name: str
    architecture: str
    sha256: str | None
    model: Any
    tokenizer: Any
    template: InputTemplate
    max_length: int
    order: Sequence[int]
    dtype: torch.dtype

    @classmethod
    def load(cls, folder: Path, spec: PrefixSpec, backbone: Backbone) -> Self:
        """Load the model, which answers on the device and in the precision of the backbone.

        Raises:
            PlanRejected: when there is no such model, it has no trained head for classification,
                or its labels are not those of the task.
        """
        sha256 = digest_of_folder(folder)
        with _reading(folder):
            tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
            model, report = AutoModelForSequenceClassification.from_pretrained(
                str(folder),
                dtype=torch.float32,
                output_loading_info=True,
                trust_remote_code=False,
            )
        _check_head(folder, model, sorted(report["missing_keys"]))
        _check_padding(folder, tokenizer)
        return cls(
            name=folder.resolve().name,
            architecture=type(model).__name__,
            sha256=sha256,
            model=model.eval().to(backbone.device),
            tokenizer=tokenizer,
            template=spec.input,
            max_length=_max_length(model.config, tokenizer, spec.max_length),
            order=label_order(folder, model.config, spec.labels),
            dtype=backbone.dtype,
        )

    def answer(self, examples: Examples[Any]) -> Logits:
        """Answer rows. Texts of similar lengths run together."""
        texts = [self.template.render(fields)[0] for fields in examples.inputs]
        by_length = sorted(
            range(len(texts)), key=lambda row: sum(map(len, filter(None, texts[row])))
        )
        logits = np.empty((len(texts), len(self.order)), np.float32)
        for start in range(0, len(texts), _ROWS_AT_ONCE):
            rows = by_length[start : start + _ROWS_AT_ONCE]
            logits[rows] = self._logits([texts[row] for row in rows]).cpu().numpy()
        return logits

    @torch.inference_mode()
    def _logits(self, texts: Sequence[tuple[str, str | None]]) -> Tensor:
        firsts, seconds = zip(*texts, strict=True)
        batch = self.tokenizer(
            list(firsts),
            None if self.template.text_pair is None else list(seconds),
            padding=True,
            truncation=True,
            max_length=self.max_length,
            return_tensors="pt",
        ).to(self.model.device)
        is_lower = self.dtype != torch.float32
        with torch.autocast(self.model.device.type, self.dtype, enabled=is_lower):
            logits: Tensor = self.model(**batch).logits
        return logits.float()[:, list(self.order)]


def digest_of_folder(folder: Path) -> str:
    """Return the sha256 of the model's files.

    Raises:
        PlanRejected: when there is no such folder, or they cannot be read.
    """
    if not folder.is_dir():
        raise PlanRejected(
            f"The teacher {str(folder)!r} is not a folder: give 'full', or the folder of a "
            "fine-tuned model as `save_pretrained` of transformers writes it"
        )
    digest = hashlib.sha256()
    with _reading(folder):
        for path in sorted(folder.iterdir()):
            if path.suffix in _SUFFIXES and path.is_file():
                with path.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def label_order(folder: Path, config: Any, labels: Sequence[str]) -> list[int]:
    """Return the number that a model has for each label of the task.

    Raises:
        PlanRejected: when the model has other labels.
    """
    numbers = {str(name): int(number) for number, name in config.id2label.items()}
    if set(numbers) == set(labels) and len(numbers) == config.num_labels:
        return [numbers[label] for label in labels]
    raise PlanRejected(
        f"The teacher {str(folder)!r} has other labels than the rows: expected "
        f"{few([repr(label) for label in labels])}; found {few([repr(name) for name in numbers])}. "
        "Use a model with the same labels, or name its labels in `id2label` of its config.json"
    )


def _check_head(folder: Path, model: Any, missing: Sequence[str]) -> None:
    if missing:
        raise PlanRejected(
            f"The teacher {str(folder)!r} is not a fine-tuned classifier: {len(missing)} weights "
            f"of {type(model).__name__} are missing, the first is {missing[0]}. Fine-tune it "
            "first, or use --teacher full"
        )
    problem_type = model.config.problem_type
    if problem_type not in {None, "single_label_classification"}:
        raise PlanRejected(
            f"The teacher {str(folder)!r} is a model for {problem_type}: expected "
            "single_label_classification"
        )


def _check_padding(folder: Path, tokenizer: Any) -> None:
    if tokenizer.pad_token is None:
        raise PlanRejected(
            f"The teacher {str(folder)!r} has a tokenizer without a padding token: set `pad_token` "
            "in its tokenizer_config.json"
        )


def _max_length(config: Any, tokenizer: Any, max_length: int) -> int:
    """Return the maximum number of tokens: that of the prefix, or less if the model has less."""
    limits = [max_length, tokenizer.model_max_length]
    positions = getattr(config, "max_position_embeddings", None)
    if positions is not None and positions > _UNUSED_POSITIONS:
        limits.append(positions - _UNUSED_POSITIONS)
    return int(min(limits))


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    try:
        yield
    except MemoryError:  # says nothing about the files
        raise
    except Exception as error:  # each parser has its own errors
        reason = str(error).strip().partition("\n")[0]
        raise PlanRejected(
            f"The teacher {str(folder)!r} could not be read: expected a folder with config.json, "
            f"weights and a tokenizer; {reason}"
        ) from error
