"""Losses, each held against numbers worked by hand."""

import math

import pytest
import torch

from training.tasks.losses import (
    IGNORED,
    TEMPERATURE,
    LossSettings,
    answer_losses,
    choice_losses,
    contrastive_losses,
    distillation_losses,
    row_losses,
    tag_losses,
)

FAR = 1e9


def test_losses_of_several_labels_are_means_over_labels() -> None:
    logits = torch.tensor([[0.0, 0.0], [100.0, -100.0]])
    targets = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    losses = row_losses("multi_label_classification", logits, targets)
    assert losses.tolist() == pytest.approx([math.log(2), 0.0], abs=1e-4)


def test_a_row_that_answers_as_its_teacher_has_no_distillation_loss() -> None:
    logits = torch.tensor([[1.0, -2.0, 0.5], [3.0, 3.0, 3.0]])
    assert distillation_losses(logits, logits + 7, 2.0).tolist() == pytest.approx([0, 0], abs=1e-6)


def test_the_distillation_loss_is_the_divergence_at_the_temperature_times_its_square() -> None:
    # At temperature 2, the teacher's probabilities are 3/4 and 1/4, and those of the row equal.
    answers, logits = torch.tensor([[2 * math.log(3), 0.0]]), torch.zeros(1, 2)
    expected = 4 * (0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5))
    assert distillation_losses(logits, answers, 2.0).tolist() == pytest.approx([expected])


def test_the_gradient_of_distillation_is_that_of_the_cross_entropy() -> None:
    answers, logits = torch.randn(4, 3), torch.randn(4, 3, requires_grad=True)
    (mine,) = torch.autograd.grad(distillation_losses(logits, answers, 3.0).sum(), logits)
    soft = torch.softmax(answers / 3, dim=-1)
    entropies = 9 * torch.nn.functional.cross_entropy(logits / 3, soft, reduction="sum")
    (theirs,) = torch.autograd.grad(entropies, logits)
    torch.testing.assert_close(mine, theirs)


def test_a_row_without_a_label_has_no_loss() -> None:
    settings = LossSettings(torch.tensor([2.0, 1.0]), 0.1)
    targets = torch.tensor([IGNORED, 1])
    losses = row_losses("single_label_classification", torch.zeros(2, 2), targets, settings)
    assert losses[0] == 0
    assert losses[1] > 0


def test_a_row_of_fewer_choices_is_not_disturbed_by_one_of_more() -> None:
    scores = [torch.zeros(2, requires_grad=True), torch.zeros(5, requires_grad=True)]
    losses = choice_losses(scores, torch.tensor([1, 4]))
    assert losses.tolist() == pytest.approx([math.log(2), math.log(5)])
    losses.sum().backward()  # type: ignore[no-untyped-call]  # torch's own gap
    assert scores[0].grad is not None
    assert scores[0].grad.tolist() == pytest.approx([0.5, -0.5])


def test_tokens_without_a_tag_have_no_loss() -> None:
    losses = tag_losses(torch.zeros(3, 4), torch.tensor([1, IGNORED, 3]))
    assert losses.tolist() == pytest.approx([math.log(4), 0.0, math.log(4)])


def test_the_loss_of_an_answer_is_the_mean_of_where_it_begins_and_where_it_ends() -> None:
    # The first window has two tokens, and knows where its answer ends but not where it begins.
    known = torch.tensor([[0.0, -FAR], [0.0, FAR]])
    windows = [known, torch.zeros(4, 2)]
    losses = answer_losses(windows, torch.tensor([[0, 1], [3, 0]]))
    assert losses.tolist() == pytest.approx([math.log(2) / 2, math.log(4)])


def test_pairs_are_told_from_the_other_pairs_of_their_batch() -> None:
    # Cosines: each text 1 with its own partner, 0 with the other.
    pairs = torch.eye(2)
    losses = contrastive_losses(pairs, pairs, torch.tensor([[0, 1], [2, 3]]))
    expected = math.log1p(math.exp(-1 / TEMPERATURE))
    assert losses.tolist() == pytest.approx([expected, expected], abs=1e-6)
    alike = contrastive_losses(torch.ones(2, 1), torch.ones(2, 1), torch.tensor([[0, 1], [2, 3]]))
    assert alike.tolist() == pytest.approx([math.log(2)] * 2)


def test_pairs_that_share_a_text_are_no_negatives_of_each_other() -> None:
    same = torch.ones(3, 1)
    identities = torch.tensor([[0, 7], [1, 7], [2, 8]])  # the first two have one partner
    losses = contrastive_losses(same, same, identities)
    assert losses.tolist() == pytest.approx([math.log(2), math.log(2), math.log(3)])


def test_both_directions_of_a_pair_count_alike() -> None:
    torch.manual_seed(0)
    left, right = (torch.nn.functional.normalize(torch.randn(5, 3), dim=-1) for _ in range(2))
    identities = torch.arange(10).view(5, 2)
    one = contrastive_losses(left, right, identities)
    other = contrastive_losses(right, left, identities)
    torch.testing.assert_close(one, other)


def test_class_weights_multiply_the_losses_of_their_labels() -> None:
    weights = LossSettings(class_weights=torch.tensor([1.0, 3.0]))
    one_of = row_losses(
        "single_label_classification", torch.zeros(2, 2), torch.tensor([0, 1]), weights
    )
    assert one_of.tolist() == pytest.approx([math.log(2), 3 * math.log(2)])
    some_of = row_losses(
        "multi_label_classification",
        torch.zeros(2, 2),
        torch.tensor([[0.0, 0.0], [1.0, 1.0]]),
        weights,
    )
    assert some_of.tolist() == pytest.approx([math.log(2), 2 * math.log(2)])


def test_smoothing_deals_certainty_out_to_all_labels() -> None:
    logits = torch.tensor([[math.log(3.0), 0.0]])  # probabilities of 3/4 and 1/4
    smoothed = LossSettings(label_smoothing=0.2)
    expected = -0.9 * math.log(3 / 4) - 0.1 * math.log(1 / 4)
    one_of = row_losses("single_label_classification", logits, torch.tensor([0]), smoothed)
    assert one_of.tolist() == pytest.approx([expected])
    tags = tag_losses(logits.expand(2, 2), torch.tensor([0, IGNORED]), smoothed)
    assert tags.tolist() == pytest.approx([expected, 0.0])
