"""TaskDefinition: the interface of a task type, from its rows to its metrics."""

from abc import ABC, abstractmethod
from collections.abc import Container, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from prefixes import HeadSpec, InputTemplate, PrefixSpec
from prefixes.backbone import EncodedInput, TextEncoder
from prefixes.lengths import BEGINNING, LengthOptions
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
"""The outputs of an input's texts, `[outputs]` each, or `[S, outputs]` for tasks of tokens.
Projected features may follow them for tasks whose rejection rule has vectors."""

Problems = list[DataProblem]


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """The unit of a step: the texts that it runs, and their target.

    `answer` are the logits `[C]` of the teacher, if there is one.
    """

    texts: EncodedInput
    target: Tensor
    answer: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Scale:
    """The scale of a regression. Rows have the learned number times `spread` plus `center`."""

    center: float = 0.0
    spread: float = 1.0

    def standardize(self, values: Tensor) -> Tensor:
        """Convert numbers of rows to learned numbers, in float64 and then to float32."""
        if not values.is_floating_point():
            return values
        return ((values.double() - self.center) / self.spread).float()


class TaskDefinition(ABC, Generic[Truth]):
    """How rows of a task type are read, learned and measured.

    Definitions have no state: all trainings share one instance.
    """

    couples_pieces: bool = False
    """Whether the loss of a piece depends on the rest of its batch, which then runs as one pass."""

    points_into_text: bool = False
    """Whether truths refer to characters of a text, so that its spacing matters."""

    labels_are_of_texts: bool = False
    """Whether a label applies to a whole text."""

    span_noun: str = ""
    """The name of the slices of a text that truths refer to."""

    answer_unit: str = ""
    """The unit of such slices as answers: words or tokens."""

    alignment_remedy: str = ""
    """The remedy for slices that do not align with that unit."""

    # Rows to examples

    @abstractmethod
    def template(self, config: TrainConfig, present: Container[str]) -> InputTemplate:
        """Return the template for rows with the columns `present`."""

    def columns(self, template: InputTemplate, present: Container[str]) -> dict[str, str]:
        """Name the usual column of every text that a row must have, in order."""
        return {field: field for field in template.fields if field != CHOICES}

    def labels(self, layout: Layout, rows: Iterable[Row]) -> tuple[str, ...]:
        """Return the labels of the task: those of the layout, else those that occur in the rows."""
        return layout.labels

    def read_input(self, layout: Layout, row: Row, problems: Problems) -> Input:
        """Read the texts of a row. Problems are added to `problems`."""
        return read_texts(row, layout.columns, problems)

    @abstractmethod
    def read_truth(self, layout: Layout, row: Row, fields: Input, problems: Problems) -> Truth:
        """Read the truth of a row. Problems are added to `problems`."""

    def column_roles(self, layout: Layout, file: RowFile, truths: Sequence[Truth]) -> list[str]:
        """Describe the role of each column. `truths` are those of the rows that are used."""
        return texts(layout)

    def row_warnings(self, layout: Layout, rows: Sequence[Row]) -> list[str]:
        """Return warnings about rows that the user may have meant differently."""
        return []

    def objection(self, truths: Sequence[Truth]) -> str | None:
        """Return why these rows cannot be trained on, None if they can."""
        return None

    @abstractmethod
    def stratum(self, truth: Truth) -> tuple[Any, ...]:
        """Return a sortable key. A split keeps the proportion of each key."""

    def group(self, fields: Input) -> Hashable:
        """Return a key of inputs that a split must keep together."""
        return wording(fields)

    def contradicts(self, one: Truth, other: Truth) -> bool:
        """Return whether two truths of the same input exclude each other."""
        return one != other

    def labels_in(self, labels: Sequence[str], truth: Truth) -> Iterable[str]:
        """Return the labels of a row. Tasks without labels return nothing."""
        return ()

    def label_counts(
        self, labels: Sequence[str], truths: Sequence[Truth]
    ) -> Mapping[str, int] | None:
        """Count the occurrences of each label; None for tasks without labels."""
        return None

    def class_weights(
        self, labels: Sequence[str], truths: Sequence[Truth]
    ) -> tuple[float, ...] | None:
        """Return a weight for each label, higher for rare ones; None for tasks without labels."""
        return None

    # Examples to learning

    def head(self, config: TrainConfig) -> HeadSpec:
        """Describe the head."""
        return HeadSpec(pooling=config.pooling, activation=config.head_activation)

    def description(self, config: TrainConfig, data: TaskData) -> dict[str, Any]:
        """Return the fields of a `PrefixSpec` that only this task type has."""
        return {}

    def encode(
        self,
        texts: TextEncoder,
        spec: PrefixSpec,
        examples: Examples[Truth],
        lengths: LengthOptions = BEGINNING,
    ) -> list[EncodedInput]:
        """Tokenize all texts of each example."""
        return texts.encode(spec, examples.inputs, lengths=lengths)

    def num_spans(self, truth: Truth) -> int:
        """Return the number of spans in a truth."""
        return 0

    def unaligned_spans(self, truth: Truth, encoded: EncodedInput) -> list[UnalignedSpan]:
        """Return the spans of a truth that no answer can equal."""
        return []

    def snapped(self, truth: Truth, encoded: EncodedInput) -> Truth:
        """Extend the spans of a truth to whole words."""
        return truth

    def scale(self, spec: PrefixSpec, truths: Sequence[Truth]) -> Scale:
        """Return the scale of a regression."""
        return Scale()

    @abstractmethod
    def pieces(self, spec: PrefixSpec, truth: Truth, encoded: EncodedInput) -> list[Piece]:
        """Split an example into pieces, which have its texts in order."""

    @abstractmethod
    def loss(
        self,
        spec: PrefixSpec,
        outputs: Sequence[Sequence[Tensor]],
        targets: Sequence[Tensor],
        settings: LossSettings = PLAIN,
    ) -> Tensor:
        """Sum the losses of pieces, from the outputs of their texts.

        Settings contain class weights and label smoothing only if the task type supports them.
        """

    def weight(self, target: Tensor) -> float:
        """Return the weight of a piece in the mean loss of a step."""
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
        """Compare outputs with the truths."""

    def has_probabilities(self, spec: PrefixSpec) -> bool:
        """Return whether answers contain the probability of a label or of a choice."""
        return False

    @abstractmethod
    def answer(
        self, spec: PrefixSpec, fields: Input, encoded: EncodedInput, outputs: Outputs
    ) -> dict[str, Any]:
        """Return the answer for the outputs of an input, as JSON values."""
