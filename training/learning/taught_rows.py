"""The pieces of a run with a teacher, and the loss that compares with the teacher's answers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from training.data.lessons import Lessons
from training.data.tokenized import TokenizedRows
from training.learning.random_numbers import generator_for
from training.settings.config import TrainConfig
from training.tasks import Piece
from training.tasks.losses import distillation_losses


@dataclass(frozen=True, slots=True, eq=False)
class TaughtRows:
    """The rows of a run whose teacher has answered them.

    The loss of a labeled row is (1 - w) times that of its label, plus w times the distillation
    loss, where w is `teacher_weight`. An unlabeled row has only the second term. The loss of a step
    is the mean over all its rows.
    """

    config: TrainConfig
    rows: TokenizedRows
    lessons: Lessons

    def pieces_of_step(self, labeled: Sequence[int], step: int) -> list[Piece]:
        """Return the pieces of a step, with the teacher's answers: labeled and unlabeled rows."""
        lessons = self.lessons
        return [
            *(_taught(self.rows.pieces[row], lessons.labeled[row]) for row in labeled),
            *(
                _taught(self.rows.unlabeled[row], lessons.unlabeled[row])
                for row in self.unlabeled_of_step(step)
            ),
        ]

    def loss(
        self, labels: Tensor, outputs: Sequence[Sequence[Tensor]], pieces: Sequence[Piece]
    ) -> Tensor:
        """Combine the sum of the label losses of pieces with their distillation losses."""
        logits = torch.stack([values for (values,) in outputs])
        answers = torch.stack([piece.answer for piece in pieces if piece.answer is not None])
        losses = distillation_losses(
            logits, answers.to(logits.device), self.config.teacher_temperature
        )
        weight = self.config.teacher_weight
        return (1 - weight) * labels + weight * losses.sum()

    def unlabeled_of_step(self, step: int) -> list[int]:
        """List the unlabeled rows of a step. Their order depends only on the seed."""
        total, size = len(self.rows.unlabeled), self.config.unlabeled_per_step
        if not total:
            return []
        places = range(step * size, (step + 1) * size)
        orders = {epoch: self._order(epoch) for epoch in {place // total for place in places}}
        return [int(orders[place // total][place % total]) for place in places]

    def _order(self, epoch: int) -> Tensor:
        generator = generator_for(self.config.seed, "unlabeled order", epoch)
        return torch.randperm(len(self.rows.unlabeled), generator=generator)


def _taught(piece: Piece, answer: object) -> Piece:
    return replace(piece, answer=torch.as_tensor(answer))
