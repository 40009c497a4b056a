"""The rows of a task, tokenized: what runs learn from, and what they are measured on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from prefixes import PrefixSpec
from prefixes.backbone import Backbone, EncodedInput
from training.data.inspection import cut_off
from training.data.reading import misfit_warnings
from training.data.snapping import snapped_data
from training.examples import Examples, TaskData
from training.tasks import KINDS, Piece, Scale


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """The validation rows, tokenized."""

    examples: Examples[Any]
    encoded: Sequence[EncodedInput]
    pieces: Sequence[Piece]


@dataclass(frozen=True, slots=True, eq=False)
class Tokenized:
    """All rows of a task; `pieces` are what is learnt from: the rows, or the windows of them.

    `data` are the rows as they are learnt and measured, with the warnings about their tokens.
    """

    data: TaskData
    encoded: Sequence[EncodedInput]
    pieces: Sequence[Piece]
    held_out: HeldOut
    scale: Scale

    @classmethod
    def of(
        cls, spec: PrefixSpec, data: TaskData, backbone: Backbone, *, snap: bool = False
    ) -> Self:
        """Tokenize rows; `snap` extends entities to whole words first."""
        if snap:
            data = snapped_data(spec, data, backbone)
        kind = KINDS[spec.task_type]
        scale = kind.scale(spec, data.train.truths)
        encoded, others = (
            kind.encode(backbone.texts, spec, part) for part in (data.train, data.validation)
        )
        pieces, held_out_pieces = (
            [
                Piece(piece.texts, scale.standardise(piece.target))
                for truth, texts in zip(part.truths, inputs, strict=True)
                for piece in kind.pieces(spec, truth, texts)
            ]
            for part, inputs in ((data.train, encoded), (data.validation, others))
        )
        warnings = (
            *misfit_warnings(kind, spec, [(data.train, encoded), (data.validation, others)]),
            *cut_off(encoded, spec.max_length),
        )
        return cls(
            replace(data, doubts=(*data.doubts, *warnings)),
            encoded,
            pieces,
            HeldOut(data.validation, others, held_out_pieces),
            scale,
        )


class SharedRows:
    """Tokenizes a task's rows once for all runs that see the same tokens of them."""

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone
        # The data stay beside what became of them, so that no other's can take their identity.
        self._made: dict[tuple[Any, ...], tuple[TaskData, Tokenized]] = {}

    def of(self, spec: PrefixSpec, data: TaskData, *, snap: bool = False) -> Tokenized:
        """Tokenize rows, or find them again; templates and labels are the data's own."""
        key = (id(data), snap, spec.task_type, spec.max_length, spec.answers, spec.token_types)
        if key not in self._made:
            self._made[key] = (data, Tokenized.of(spec, data, self._backbone, snap=snap))
        return self._made[key][1]
