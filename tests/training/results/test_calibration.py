"""Probabilities of a trained prefix mean what they say, and nothing else about it changes."""

from itertools import product

import numpy as np
import pytest

from prefixes import Prefix
from prefixes.backbone import Backbone
from prefixes.spec import Decisions, LongTexts
from tests.factories import make_prefix
from training.examples import Examples, Input
from training.learning.evaluate import evaluate, outputs_of, served_outputs
from training.results.calibration import calibrate
from training.tasks import definition_of
from training.tasks.metrics import CALIBRATION_ERROR, calibration_error, measure

TEXTS = ("a good film", "the late train", "my card", "hello city", "a free prize", "bad news")


def examples_of(truths: list[int]) -> Examples[int]:
    inputs = tuple({"text": TEXTS[place % len(TEXTS)]} for place in range(len(truths)))
    return Examples(inputs, tuple(truths))


def logits_of(backbone: Backbone, prefix: Prefix, examples: Examples[int]) -> np.ndarray:
    encoded = definition_of("sequence_classification").encode(backbone.texts, prefix.spec, examples)
    found = outputs_of(backbone, prefix, encoded, tokens_per_batch=512)
    return np.stack([logits for (logits,) in found])


def sharpened(prefix: Prefix, factor: float) -> Prefix:
    layer = ("head.output.weight", "head.output.bias")
    tensors = {name: factor * prefix.tensors[name] for name in layer}
    return Prefix(prefix.spec, {**prefix.tensors, **tensors})


def drawn_from(logits: np.ndarray) -> list[int]:
    """Labels as probable as the logits say: what these are calibrated for."""
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    rng = np.random.default_rng(0)
    return [int(rng.choice(len(row), p=row)) for row in chances]


@pytest.mark.parametrize("factor", [0.2, 6.0])
def test_the_temperature_undoes_too_much_and_too_little_certainty(
    backbone: Backbone, factor: float
) -> None:
    prefix = make_prefix(backbone.fingerprint, labels=("no", "so", "yes"))
    spread = logits_of(backbone, prefix, examples_of([0] * len(TEXTS))).std()
    honest = sharpened(prefix, 1.5 / float(spread))
    truths = drawn_from(logits_of(backbone, honest, examples_of([0] * 900)))
    examples = examples_of(truths)
    off = sharpened(honest, factor)
    found = calibrate(backbone, off, examples, tokens_per_batch=4096)
    assert found is not None
    assert found.temperature == pytest.approx(factor, rel=0.25)
    before, after = (
        evaluate(backbone, one, examples, tokens_per_batch=4096) for one in (off, found.prefix)
    )
    assert after.metrics[CALIBRATION_ERROR] < before.metrics[CALIBRATION_ERROR] / 2
    assert after.confusion == before.confusion  # no answer is another
    same = [name for name in off.tensors if not name.startswith("head.output")]
    assert all(found.prefix.tensors[name] is off.tensors[name] for name in same)


def test_a_task_with_windows_is_calibrated_on_the_merged_probabilities(backbone: Backbone) -> None:
    windows = Decisions(long_texts=LongTexts(stride=2))
    prefix = make_prefix(
        backbone.fingerprint, labels=("no", "so", "yes"), max_length=8, decisions=windows
    )
    inputs = tuple(
        {"text": f"{one} {other} {third}"} for one, other, third in product(TEXTS, TEXTS, TEXTS)
    )

    def merged(prefix: Prefix) -> np.ndarray:
        examples = Examples(inputs, (0,) * len(inputs))
        _, found = served_outputs(backbone, prefix, examples, tokens_per_batch=4096)
        return np.stack([logits for (logits,) in found])

    honest = sharpened(prefix, 3.0 / float(logits_of(backbone, prefix, examples_of([0] * 6)).std()))
    truths = drawn_from(np.repeat(merged(honest), 4, axis=0))
    examples = Examples(tuple(text for text in inputs for _ in range(4)), tuple(truths))
    found = calibrate(backbone, sharpened(honest, 2.0), examples, tokens_per_batch=4096)
    assert found is not None
    assert found.temperature == pytest.approx(2.0, rel=0.2)


def test_a_few_rows_that_are_all_right_do_not_make_it_certain(backbone: Backbone) -> None:
    prefix = make_prefix(backbone.fingerprint, labels=("no", "yes"))
    rights = logits_of(backbone, prefix, examples_of([0] * 6)).argmax(axis=1).tolist()
    found = calibrate(backbone, prefix, examples_of(rights), tokens_per_batch=4096)
    assert found is not None
    assert 0.2 < found.temperature < 1


def test_tasks_without_probabilities_are_left_alone(backbone: Backbone) -> None:
    prefix = make_prefix(backbone.fingerprint, problem_type="regression", labels=("stars",))
    examples = Examples(({"text": TEXTS[0]},), ((1.0,),))
    assert calibrate(backbone, prefix, examples, tokens_per_batch=64) is None


def test_choices_are_calibrated_too(backbone: Backbone) -> None:
    prefix = make_prefix(backbone.fingerprint, task_type="multiple_choice")
    inputs: tuple[Input, ...] = tuple({"premise": text, "choices": TEXTS[:3]} for text in TEXTS)
    found = calibrate(backbone, prefix, Examples(inputs, (0, 1, 2, 0, 1, 2)), tokens_per_batch=4096)
    assert found is not None
    assert found.temperature > 0


def test_the_calibration_error_is_as_by_hand() -> None:
    # Two answers at 0.95, one right; three at 0.62, all right; 15 stretches, so 0.6 to 0.667.
    confidences = np.array([0.95, 0.95, 0.62, 0.62, 0.62])
    is_right = np.array([True, False, True, True, True])
    expected = (2 / 5) * abs(0.5 - 0.95) + (3 / 5) * abs(1 - 0.62)
    assert calibration_error(confidences, is_right) == pytest.approx(expected)
    assert calibration_error(np.array([1.0]), np.array([True])) == 0


@pytest.mark.parametrize(
    ("predicted", "true", "label"),
    [([1, 1, 1], [0, 1, 0], "b"), ([1, 1, 0], [0, 1, 0], None)],
)
def test_a_prefix_that_has_learned_the_majority_alone_is_told(
    predicted: list[int], true: list[int], label: str | None
) -> None:
    logits = np.eye(2, dtype=np.float32)[predicted]
    found = measure("single_label_classification", "ab", logits, np.array(true))
    assert found.only_answer == label
