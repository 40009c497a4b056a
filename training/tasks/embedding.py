"""Embedding: similar texts have similar vectors."""

import hashlib
from collections.abc import Container, Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prefixes import HeadSpec, InputTemplate, PrefixSpec
from prefixes.backbone import EncodedInput, TextEncoder
from prefixes.lengths import BEGINNING, LengthOptions
from training.examples import Examples, Input, Layout
from training.files.rows import Row, RowFile
from training.settings.config import TrainConfig
from training.tasks.cells import read_text, read_texts
from training.tasks.definition import Outputs, Piece, Problems, TaskDefinition
from training.tasks.losses import PLAIN, TEMPERATURE, LossSettings, contrastive_losses
from training.tasks.metrics import Measurement
from training.tasks.phrases import from_columns, texts

_PARTNER: Final = "positive"
_ROWS_AT_ONCE: Final = 1024


class Embedding(TaskDefinition[str]):
    """Texts, each with a `positive`: another text that belongs with it.

    The other texts of the batch serve as negatives, so a batch runs as one pass.
    """

    couples_pieces = True

    def template(self, config: TrainConfig, present: Container[str]) -> InputTemplate:
        return InputTemplate() if config.template is None else InputTemplate(text=config.template)

    def columns(self, template: InputTemplate, present: Container[str]) -> dict[str, str]:
        """Return the columns of a text and of its partner."""
        (field,) = template.fields
        if field not in present and "text_a" in present:
            return {field: "text_a", _PARTNER: "text_b"}
        return {field: field, _PARTNER: _PARTNER}

    def read_input(self, layout: Layout, row: Row, problems: Problems) -> Input:
        """Read the text of a row. Its partner is its truth."""
        columns = {name: x for name, x in layout.columns.items() if name != _PARTNER}
        return read_texts(row, columns, problems)

    def read_truth(self, layout: Layout, row: Row, fields: Input, problems: Problems) -> str:
        """Read the text that belongs with a row's text."""
        return read_text(row, layout.columns[_PARTNER], problems) or ""

    def column_roles(self, layout: Layout, file: RowFile, truths: Sequence[str]) -> list[str]:
        partner = from_columns([layout.columns[_PARTNER]])
        return [*texts(layout), f"a text that belongs with it {partner}"]

    def objection(self, truths: Sequence[str]) -> str | None:
        """Reject rows with only one distinct partner."""
        if all(truth == truths[0] for truth in truths):
            return "all rows have the same second text: expected two or more"
        return None

    def stratum(self, truth: str) -> tuple[Any, ...]:
        return ()

    def contradicts(self, one: str, other: str) -> bool:
        """Return False: a text may have several partners."""
        return False

    def head(self, config: TrainConfig) -> HeadSpec:
        return super().head(config).model_copy(update={"normalize": config.normalize is not False})

    def encode(
        self,
        texts: TextEncoder,
        spec: PrefixSpec,
        examples: Examples[str],
        lengths: LengthOptions = BEGINNING,
    ) -> list[EncodedInput]:
        """Tokenize each text and its partner."""
        (field,) = spec.input.fields
        partners = [{field: truth} for truth in examples.truths]
        return [
            one + other
            for one, other in zip(
                texts.encode(spec, examples.inputs, lengths=lengths),
                texts.encode(spec, partners, lengths=lengths),
                strict=True,
            )
        ]

    def pieces(self, spec: PrefixSpec, truth: str, encoded: EncodedInput) -> list[Piece]:
        return [Piece(encoded, torch.tensor([_identity(text.token_ids) for text in encoded]))]

    def loss(
        self,
        spec: PrefixSpec,
        outputs: Sequence[Sequence[Tensor]],
        targets: Sequence[Tensor],
        settings: LossSettings = PLAIN,
    ) -> Tensor:
        """Sum the losses of finding the partner of each text in the batch."""
        left = torch.stack([one for one, _ in outputs])
        right = torch.stack([other for _, other in outputs])
        temperature = TEMPERATURE if spec.head.normalize else 1.0  # as DPR, with plain products
        identities = torch.stack(list(targets)).to(left.device)
        return contrastive_losses(left, right, identities, temperature=temperature).sum()

    def measure(
        self,
        spec: PrefixSpec,
        examples: Examples[str],
        encoded: Sequence[EncodedInput],
        outputs: Sequence[Outputs],
    ) -> Measurement:
        """Rank the partners of all rows for each text."""
        ranks = partner_ranks(
            np.stack([one for one, _ in outputs]),
            np.stack([other for _, other in outputs]),
            examples.truths,
        )
        return Measurement(
            {"mrr": float((1 / ranks).mean()), "recall_at_1": float((ranks == 1).mean())}
        )

    def answer(
        self, spec: PrefixSpec, fields: Input, encoded: EncodedInput, outputs: Outputs
    ) -> dict[str, Any]:
        """Return the `embedding`."""
        return {"embedding": outputs[0].tolist()}


def partner_ranks(
    left: NDArray[np.float32], right: NDArray[np.float32], partners: Sequence[str]
) -> NDArray[np.int64]:
    """Return the rank, from 1, of the partner of each text among all partners, by dot product.

    `left` and `right` have shape `[n, hidden]`. A partner of several rows counts once.
    """
    _, firsts, numbers = np.unique(partners, return_index=True, return_inverse=True)
    distinct = right[firsts]  # (distinct partners, hidden)
    ranks = []
    for start in range(0, len(left), _ROWS_AT_ONCE):
        own = numbers[start : start + _ROWS_AT_ONCE]
        scores = left[start : start + _ROWS_AT_ONCE] @ distinct.T
        ranks.append(1 + (scores > scores[np.arange(len(own)), own][:, None]).sum(axis=1))
    return np.concatenate(ranks)


def _identity(token_ids: Sequence[int]) -> int:
    """Return a number that identifies a text."""
    digest = hashlib.sha256(np.array(token_ids, dtype=np.int64).tobytes()).digest()
    return int.from_bytes(digest[:8], "little", signed=True)
