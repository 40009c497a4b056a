"""The tokenized training and validation rows of a task."""

from dataclasses import dataclass, replace
from typing import Any, Final, Self

import torch

from prefixes import PrefixSpec
from prefixes.backbone import Backbone
from prefixes.lengths import AS_SERVED
from training.data.alignment_warnings import alignment_warnings
from training.data.encoding import EncodedRows, PackedTexts, encode_rows
from training.data.row_warnings import cut_off
from training.data.snapping import snapped_data
from training.data.vocabulary_warnings import UNREADABLE, UnknownTokens, vocabulary_warnings
from training.examples import Examples, TaskData
from training.files.packed import LazySequence, PackedList
from training.tasks import Piece, Scale, definition_of

_NO_ROWS: Final[Examples[Any]] = Examples((), ())


class Pieces(LazySequence[Piece]):
    """Pieces of packed texts, each with its target."""

    __slots__ = ("_inputs", "_targets")

    def __init__(self, texts: PackedTexts) -> None:
        self._inputs = EncodedRows(texts)
        self._targets = PackedList[Any]()

    def append(self, piece: Piece) -> None:
        """Add a piece with the texts that follow those of the last piece."""
        ends = self._inputs.ends
        ends.append((ends[-1] if ends else 0) + len(piece.texts))
        self._targets.append(piece.target.tolist())

    def __len__(self) -> int:
        return len(self._targets)

    def at(self, place: int) -> Piece:
        """Return a piece."""
        return Piece(self._inputs.at(place), torch.tensor(self._targets.at(place)))


def pieces_of(spec: PrefixSpec, examples: Examples[Any], rows: EncodedRows, scale: Scale) -> Pieces:
    """Split every example into pieces, with scaled targets."""
    pieces = Pieces(rows.texts)
    for truth, texts in zip(examples.truths, rows, strict=True):
        for piece in definition_of(spec.task_type).pieces(spec, truth, texts):
            pieces.append(Piece(piece.texts, scale.standardize(piece.target)))
    return pieces


@dataclass(frozen=True, slots=True, eq=False)
class ValidationRows:
    """The validation rows, tokenized.

    `windows` is what runs: windows of long texts if the task has them, else the same as `encoded`.
    """

    examples: Examples[Any]
    windows: EncodedRows
    encoded: EncodedRows
    pieces: Pieces


@dataclass(frozen=True, slots=True, eq=False)
class TokenizedRows:
    """All rows of a task. `pieces` are the training rows, or their windows.

    `unlabeled` are the pieces of unlabeled rows, whose targets say nothing. `data` are the rows as
    trained and measured, with the warnings about their tokens.
    """

    data: TaskData
    encoded: EncodedRows
    pieces: Pieces
    held_out: ValidationRows
    unlabeled: Pieces
    scale: Scale

    @classmethod
    def of(
        cls, spec: PrefixSpec, data: TaskData, backbone: Backbone, *, snap: bool = False
    ) -> Self:
        """Tokenize rows. `snap` first extends entities to whole words."""
        if snap:
            data = snapped_data(spec, data, backbone)
        definition = definition_of(spec.task_type)
        scale = definition.scale(spec, data.train.truths)
        encoded = encode_rows(backbone, spec, data.train)
        windows = encode_rows(backbone, spec, data.validation, AS_SERVED)
        others = windows.whole()
        unknown = UnknownTokens.of(backbone, encoded)
        name = backbone.fingerprint.name
        warnings = (
            *vocabulary_warnings(definition, data.labels, data.train, unknown, name),
            *alignment_warnings(
                definition, spec, [(data.train, encoded), (data.validation, others)]
            ),
            *cut_off(encoded, spec.max_length),
        )
        held_out_pieces = pieces_of(spec, data.validation, others, scale)
        unlabeled = data.unlabeled or _NO_ROWS
        return cls(
            replace(
                data,
                warnings=(*data.warnings, *warnings),
                is_readable=unknown.share < UNREADABLE,
            ),
            encoded,
            pieces_of(spec, data.train, encoded, scale),
            ValidationRows(data.validation, windows, others, held_out_pieces),
            pieces_of(spec, unlabeled, encode_rows(backbone, spec, unlabeled), scale),
            scale,
        )


class SharedRows:
    """Tokenizes the rows of a task once for all runs with the same tokens."""

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone
        # Keeps the data alive, because their `id` is part of the key.
        self._made: dict[tuple[Any, ...], tuple[TaskData, TokenizedRows]] = {}

    def of(self, spec: PrefixSpec, data: TaskData, *, snap: bool = False) -> TokenizedRows:
        """Tokenize rows, or return earlier results. Templates and labels belong to the data."""
        seen = (
            spec.max_length,
            spec.answers,
            spec.token_types,
            spec.special_tokens,
            AS_SERVED.windows_of(spec),
        )
        key = (id(data), snap, spec.task_type, *seen)
        if key not in self._made:
            self._made[key] = (data, TokenizedRows.of(spec, data, self._backbone, snap=snap))
        return self._made[key][1]
