"""TaskDefinition: all that is particular to one type of task, behind one protocol."""

from abc import ABC, abstractmethod
from collections.abc import Container, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from prefixes import HeadSpec, InputTemplate, PrefixSpec
from prefixes.backbone import EncodedInput, TextEncoder
from prefixes.template import CHOICES
from training.errors import DataProblem
from training.examples import Examples, Input, Layout, TaskData, Truth, wording
from training.files.rows import Row, RowFile
from training.settings.config import TrainConfig
from training.tasks.cells import read_texts
from training.tasks.losses import PLAIN, LossSettings
from training.tasks.metrics import Measurement
from training.tasks.phrases import texts
from training.tasks.unaligned_spans import UnalignedSpan

Outputs = Sequence[NDArray[np.float32]]
"""The outputs of an input's texts, `[outputs]` each, or `[S, outputs]` for tasks of tokens."""

Problems = list[DataProblem]


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """The unit of a step: the texts that it runs, and their target."""

    texts: EncodedInput
    target: Tensor


@dataclass(frozen=True, slots=True)
class Scale:
    """The numbers that are learned, times `spread` plus `center`, are those of the rows."""

    center: float = 0.0
    spread: float = 1.0

    def standardize(self, values: Tensor) -> Tensor:
        """Bring a row's numbers to those that are learned, in float64, and to float32 at last."""
        if not values.is_floating_point():
            return values
        return ((values.double() - self.center) / self.spread).float()


class TaskDefinition(ABC, Generic[Truth]):
    """How rows of a task type are read, learned and measured.

    One object of each serves all trainings: it has no state.
    """

    couples_pieces: bool = False
    """Whether the loss of a piece depends on the others of its batch, which then run together."""

    points_into_text: bool = False
    """Whether truths name characters of a text, which are others where it is spaced otherwise."""

    labels_are_of_texts: bool = False
    """Whether a label says something of a whole text."""

    span_noun: str = ""
    """The name of the slices of a text that truths refer to."""

    answer_unit: str = ""
    """The unit of such slices as answers: words or tokens."""

    alignment_remedy: str = ""
    """The remedy for slices that do not align with that unit."""

    # Rows to examples

    @abstractmethod
    def template(self, config: TrainConfig, present: Container[str]) -> InputTemplate:
        """Say how rows that have the columns `present` become texts."""

    def columns(self, template: InputTemplate, present: Container[str]) -> dict[str, str]:
        """Name the usual column of every text that a row must have, in order."""
        return {field: field for field in template.fields if field != CHOICES}

    def labels(self, layout: Layout, rows: Iterable[Row]) -> tuple[str, ...]:
        """List the labels of the task: those of the layout, or those that occur in rows."""
        return layout.labels

    def read_input(self, layout: Layout, row: Row, problems: Problems) -> Input:
        """Read a row's texts; what is wrong with them goes to `problems`."""
        return read_texts(row, layout.columns, problems)

    @abstractmethod
    def read_truth(self, layout: Layout, row: Row, fields: Input, problems: Problems) -> Truth:
        """Read what is true of a row; what is wrong with it goes to `problems`."""

    def column_roles(self, layout: Layout, file: RowFile, truths: Sequence[Truth]) -> list[str]:
        """Say what each column was taken for; `truths` are those of the rows that are used."""
        return texts(layout)

    def row_warnings(self, layout: Layout, rows: Sequence[Row]) -> list[str]:
        """Say how rows are read where a person might have meant something else."""
        return []

    def objection(self, truths: Sequence[Truth]) -> str | None:
        """Say why nothing can be learned from these rows, if nothing can."""
        return None

    @abstractmethod
    def stratum(self, truth: Truth) -> tuple[Any, ...]:
        """Give what parts of the data should have in proportion; it can be sorted."""

    def group(self, fields: Input) -> Hashable:
        """Give what inputs have in common that must not be parted by a split."""
        return wording(fields)

    def contradicts(self, one: Truth, other: Truth) -> bool:
        """Say whether two truths of the same input cannot both be right."""
        return one != other

    def labels_in(self, labels: Sequence[str], truth: Truth) -> Iterable[str]:
        """List the labels of a row; none for tasks without labels."""
        return ()

    def label_counts(
        self, labels: Sequence[str], truths: Sequence[Truth]
    ) -> Mapping[str, int] | None:
        """Count what the rows have of each label; None for tasks without labels."""
        return None

    def class_weights(
        self, labels: Sequence[str], truths: Sequence[Truth]
    ) -> tuple[float, ...] | None:
        """Give each label a weight that makes up for how rare it is; None for tasks without."""
        return None

    # Examples to learning

    def head(self, config: TrainConfig) -> HeadSpec:
        """Describe the head."""
        return HeadSpec(pooling=config.pooling, activation=config.head_activation)

    def description(self, config: TrainConfig, data: TaskData) -> dict[str, Any]:
        """Give the fields of a `PrefixSpec` that only this type of task has."""
        return {}

    def encode(
        self, texts: TextEncoder, spec: PrefixSpec, examples: Examples[Truth]
    ) -> list[EncodedInput]:
        """Tokenize all texts of each example."""
        return texts.encode(spec, examples.inputs)

    def num_spans(self, truth: Truth) -> int:
        """Count the slices of a text in a truth."""
        return 0

    def unaligned_spans(self, truth: Truth, encoded: EncodedInput) -> list[UnalignedSpan]:
        """Find the slices of a text in a truth that no answer can equal."""
        return []

    def snapped(self, truth: Truth, encoded: EncodedInput) -> Truth:
        """Move slices of a text in a truth to what answers are made of."""
        return truth

    def scale(self, spec: PrefixSpec, truths: Sequence[Truth]) -> Scale:
        """Find the scale of numbers that are learned."""
        return Scale()

    @abstractmethod
    def pieces(self, spec: PrefixSpec, truth: Truth, encoded: EncodedInput) -> list[Piece]:
        """Cut an example into pieces, which have its texts in order."""

    @abstractmethod
    def loss(
        self,
        spec: PrefixSpec,
        outputs: Sequence[Sequence[Tensor]],
        targets: Sequence[Tensor],
        settings: LossSettings = PLAIN,
    ) -> Tensor:
        """Add up the losses of pieces, from the outputs of each one's texts.

        Class weights come only to a task that has them, label smoothing to one of classes.
        """

    def weight(self, target: Tensor) -> float:
        """Give a piece's share in the mean that a step's loss is."""
        return 1.0

    # Outputs to figures and answers

    @abstractmethod
    def measure(
        self,
        spec: PrefixSpec,
        examples: Examples[Truth],
        encoded: Sequence[EncodedInput],
        outputs: Sequence[Outputs],
    ) -> Measurement:
        """Hold outputs against what is true."""

    def has_probabilities(self, spec: PrefixSpec) -> bool:
        """Say whether answers carry the probability of a label or of a choice."""
        return False

    @abstractmethod
    def answer(
        self, spec: PrefixSpec, fields: Input, encoded: EncodedInput, outputs: Outputs
    ) -> dict[str, Any]:
        """Say what an input's outputs mean, in values that JSON has."""
