"""One training step of the original's models: loss and gradients against what its code computed."""

from collections.abc import Sequence
from typing import Any, Final

import pytest
import torch
from torch import Tensor

from prefixes.backbone import head_outputs
from prefixes.interop.folder import read_tensors
from tests.parity.golden import GoldenCase
from training.learning.learner import PrefixLearner
from training.tasks import definition_of

LOSS_TOLERANCE: Final = 2e-5
GRADIENT_TOLERANCE: Final = 1e-4
OURS: Final = {
    "prefix_encoder.embedding.weight": "table",
    "prefix_encoder.weight": "table",
    "prefix_encoder.trans.0.weight": "projection.0.weight",
    "prefix_encoder.trans.0.bias": "projection.0.bias",
    "prefix_encoder.trans.2.weight": "projection.2.weight",
    "prefix_encoder.trans.2.bias": "projection.2.bias",
    "classifier.weight": "output.weight",
    "classifier.bias": "output.bias",
    "qa_outputs.weight": "output.weight",
    "qa_outputs.bias": "output.bias",
    "pooler.dense.weight": "dense.weight",
    "pooler.dense.bias": "dense.bias",
}
"""Names of the trained parameters: the original's, and the learner's."""


def learner_of(case: GoldenCase) -> PrefixLearner:
    """Make a learner with the original's weights, before they are folded."""
    stored = read_tensors(case.checkpoint, ["model.safetensors", "pytorch_model.bin"])
    learner = PrefixLearner(
        case.prefix.spec,
        initializer_range=0.02,
        projection_size=case.facts["prefix_hidden_size"]
        if case.facts["prefix_projection"]
        else None,
    )
    weights = learner.state_dict()
    for name, tensor in case.prefix.tensors.items():
        if name.startswith("head."):  # among them a pooler that the original kept frozen
            weights[name.removeprefix("head.")] = torch.from_numpy(tensor)
    weights |= {ours: stored[theirs] for theirs, ours in OURS.items() if theirs in stored}
    learner.load_state_dict(weights)
    return learner


def outputs_of(case: GoldenCase, learner: PrefixLearner) -> list[Tensor]:
    """Run all texts with the learner's own tensors, so that gradients reach them."""
    spec, steering = learner.spec, learner.prefix_tensor()
    is_prompt = spec.method == "prompt"
    rows = [
        case.backbone.row(
            text,
            position_offset=spec.position_offset,
            slots=() if is_prompt else tuple(range(spec.prefix_length)),
            prompt=steering if is_prompt else None,
        )
        for text in case.texts
    ]
    packed = case.backbone.pack(rows)
    hidden = case.backbone(packed, case.backbone.empty_pool(1) if is_prompt else steering)
    head = learner.head()
    return head_outputs(hidden, packed, [head] * len(rows), pooler=case.backbone.pooler)


def loss_of(learner: PrefixLearner, outputs: Sequence[Tensor], targets: dict[str, Tensor]) -> Any:
    """Return the mean loss over the targets that count for the task type."""
    definition = definition_of(learner.spec.task_type)
    if "start_positions" in targets:
        wanted = list(torch.stack((targets["start_positions"], targets["end_positions"]), 1))
    elif learner.spec.task_type == "token_classification":
        wanted = [row[: len(text)] for row, text in zip(targets["labels"], outputs, strict=True)]
    else:
        wanted = list(targets["labels"])
    if learner.spec.problem_type == "regression":
        wanted = [target.view(1) for target in wanted]
    per_piece = len(outputs) // len(wanted)  # choices, of which a piece has several
    pieces = [outputs[i : i + per_piece] for i in range(0, len(outputs), per_piece)]
    weights = [definition.weight(target) for target in wanted]
    return definition.loss(learner.spec, pieces, wanted) / sum(weights)


def test_the_loss_of_a_step_and_its_gradients_equal_the_originals(case: GoldenCase) -> None:
    if case.facts["loss_depends_on_padding_rows"]:
        pytest.skip("the original computes its softmax over padding too; a packed batch has none")
    learner = learner_of(case)

    loss = loss_of(learner, outputs_of(case, learner), case.training)
    loss.backward()

    assert abs(float(loss.detach()) - float(case.training["loss"])) <= LOSS_TOLERANCE
    gradients = {name: parameter.grad for name, parameter in learner.named_parameters()}
    for name in case.facts["trainable"]:
        theirs, ours = case.training[f"grad.{name}"], gradients[OURS[name]]
        assert ours is not None
        scale = max(float(theirs.abs().max()), 1e-2)
        assert float((ours - theirs).abs().max()) <= GRADIENT_TOLERANCE * scale


def test_the_loss_of_a_question_is_the_originals_formula_over_its_own_tokens(
    case: GoldenCase,
) -> None:
    if case.facts["task"] != "question_answering":
        pytest.skip("no questions")
    learner = learner_of(case)

    loss = loss_of(learner, outputs_of(case, learner), case.training)

    expected = []
    for row, text in enumerate(case.texts):
        for side in ("start", "end"):
            logits = case.expected[f"{side}_logits"][row, : len(text.token_ids)]
            place = int(case.training[f"{side}_positions"][row])
            expected.append(-logits.log_softmax(0)[place])
    torch.testing.assert_close(
        loss.detach(), torch.stack(expected).mean(), atol=LOSS_TOLERANCE, rtol=0
    )
