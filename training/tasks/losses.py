"""Loss functions of all task types. They return one number per row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, assert_never

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from prefixes.spec import ProblemType

IGNORED: Final = -100
"""The target of a token that has no loss, and of a row that has no label."""

TEMPERATURE: Final = 0.05
"""Divisor of cosines of embeddings; the value of SimCSE."""


@dataclass(frozen=True, slots=True, eq=False)
class LossSettings:
    """Weights of labels.

    The loss of a row is multiplied by the entry of `class_weights` `[C]` for its label, or for each
    of its labels. `label_smoothing` is the share of the target that is spread over all labels
    equally (Szegedy et al. 2016, arXiv:1512.00567).
    """

    class_weights: Tensor | None = None
    label_smoothing: float = 0.0

    def to(self, device: torch.device) -> "LossSettings":
        weights = None if self.class_weights is None else self.class_weights.to(device)
        return LossSettings(weights, self.label_smoothing)


PLAIN: Final = LossSettings()


def row_losses(
    problem_type: ProblemType, logits: Tensor, targets: Tensor, settings: LossSettings = PLAIN
) -> Tensor:
    """Return the loss `[n]` of each row from its logits `[n, C]`.

    `targets` are label numbers `[n]` of a single label, else `[n, C]`. The loss is 0 where a label
    is `IGNORED`.
    """
    match problem_type:
        case "single_label_classification":
            return functional.cross_entropy(
                logits,
                targets,
                settings.class_weights,
                reduction="none",
                ignore_index=IGNORED,
                label_smoothing=settings.label_smoothing,
            )
        case "multi_label_classification":
            losses = functional.binary_cross_entropy_with_logits(
                logits, targets, pos_weight=settings.class_weights, reduction="none"
            )
        case "regression":
            losses = functional.mse_loss(logits, targets, reduction="none")
        case _:
            assert_never(problem_type)
    return losses.mean(dim=1)


def distillation_losses(logits: Tensor, answers: Tensor, temperature: float) -> Tensor:
    """Return the loss `[n]` of each row from its logits and those of a teacher, `[n, C]` each.

    For logits z, answers t and temperature T it is T² KL(softmax(t/T) || softmax(z/T)), after
    Hinton et al. 2015, "Distilling the Knowledge in a Neural Network" (arXiv:1503.02531). Their
    cross-entropy differs by a constant, so its gradient is the same, but it is not zero where the
    teacher is matched. T² keeps the size of the gradient, which 1/T² would otherwise scale.
    """
    theirs = functional.log_softmax(answers / temperature, dim=-1)
    mine = functional.log_softmax(logits / temperature, dim=-1)
    divergence = functional.kl_div(mine, theirs, reduction="none", log_target=True)
    return temperature**2 * divergence.sum(dim=-1)


def choice_losses(scores: Sequence[Tensor], right: Tensor) -> Tensor:
    """Return the loss `[n]` of n rows from the scores `[C]` of their choices. C may differ.

    `right` `[n]` are the numbers of the right choices.
    """
    return functional.cross_entropy(_padded(scores), right, reduction="none")


def tag_losses(logits: Tensor, tags: Tensor, settings: LossSettings = PLAIN) -> Tensor:
    """Return the loss `[T]` of each token from its logits `[T, C]`; 0 if its tag is `IGNORED`."""
    return functional.cross_entropy(
        logits,
        tags,
        reduction="none",
        ignore_index=IGNORED,
        label_smoothing=settings.label_smoothing,
    )


def answer_losses(logits: Sequence[Tensor], places: Tensor) -> Tensor:
    """Return the loss `[n]` of n windows from the logits `[S, 2]` of their tokens. S may differ.

    `places` `[n, 2]` are the tokens that begin and end the answers. The loss is the mean of both
    cross-entropies, as in P-tuning v2.
    """
    starts, ends = (
        functional.cross_entropy(
            _padded([window[:, side] for window in logits]), places[:, side], reduction="none"
        )
        for side in (0, 1)
    )
    return (starts + ends) / 2


def contrastive_losses(
    left: Tensor, right: Tensor, identities: Tensor, *, temperature: float = TEMPERATURE
) -> Tensor:
    """Return the loss `[n]` of n pairs of embeddings `[n, hidden]`.

    Each text must find its partner among those of the other pairs (symmetric InfoNCE, with the
    batch for negatives). `identities` `[n, 2]` are numbers of the texts: pairs that share a text
    are not negatives of each other.
    """
    shared = (identities[:, None] == identities[None, :]).any(dim=-1)  # (n, 2) -> (n, n)
    is_other = ~torch.eye(len(left), dtype=torch.bool, device=left.device)
    scores = (left @ right.T / temperature).masked_fill(shared & is_other, -torch.inf)
    partners = torch.arange(len(left), device=left.device)
    forwards = functional.cross_entropy(scores, partners, reduction="none")
    backwards = functional.cross_entropy(scores.T, partners, reduction="none")
    return (forwards + backwards) / 2


def _padded(rows: Sequence[Tensor]) -> Tensor:
    """Pad rows to one matrix, with logits that have no effect on a softmax."""
    return pad_sequence(list(rows), batch_first=True, padding_value=-torch.inf)
