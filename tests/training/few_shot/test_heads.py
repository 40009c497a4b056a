"""Heads from few features: their formulas, their calibration, and the choice among them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from training.few_shot import heads
from training.few_shot.features import Features
from training.few_shot.heads import LabeledFeatures, discriminant, regression
from training.few_shot.selection import FOLDS, ONE_LABEL, folds_of, served_head

HIDDEN = 12


def clusters(
    counts: list[int], *, seed: int = 0, distance: float = 3.0
) -> tuple[Features, Features, NDArray[np.int64]]:
    """Return the centers of labels, rows around them, and the labels of the rows."""
    generator = np.random.default_rng(seed)
    centers = distance * generator.normal(size=(len(counts), HIDDEN))
    labels = np.repeat(np.arange(len(counts)), counts)
    return centers, centers[labels] + generator.normal(size=(len(labels), HIDDEN)), labels


def test_without_priors_the_discriminant_is_that_of_scikit_learn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    centers, features, labels = clusters([40, 40, 40], distance=0.5)
    monkeypatch.setattr(heads, "COVARIANCE_ROWS", 1e-9)
    head = discriminant(LabeledFeatures(features, labels, centers), name_rows=1e-9)
    known = LinearDiscriminantAnalysis(solver="lsqr", priors=[1 / 3] * 3).fit(features, labels)
    theirs = known.decision_function(features)
    mine = head(features) * HIDDEN  # logits are divided by the hidden size
    assert_allclose(mine - mine[:, :1], theirs - theirs[:, :1], rtol=1e-5, atol=1e-5)


def test_names_alone_separate_texts_that_are_near_them() -> None:
    centers, features, labels = clusters([20, 20, 20, 20])
    served = served_head(centers, np.empty((0, HIDDEN)), np.empty(0, np.int64))
    assert served.computed_by == ONE_LABEL.usual.name
    assert served.left_out.shape == (0, 4)
    assert (served.head(features).argmax(axis=1) == labels).mean() > 0.95


def test_a_label_without_rows_is_found_by_its_name() -> None:
    centers, features, labels = clusters([6, 6, 30])
    is_shown = labels < 2
    served = served_head(centers, features[is_shown], labels[is_shown])
    assert (served.head(features[~is_shown]).argmax(axis=1) == 2).mean() > 0.9


def test_rows_outweigh_a_misleading_name() -> None:
    centers, features, labels = clusters([30, 30])
    served = served_head(centers[::-1], features, labels)
    assert (served.head(features).argmax(axis=1) == labels).mean() > 0.95
    assert "names as 1 " in served.computed_by or "regression" in served.computed_by


@pytest.mark.parametrize("count", [2, 3], ids=["two-labels", "three-labels"])
def test_a_regression_has_one_logit_per_label(count: int) -> None:
    centers, features, labels = clusters([20] * count)
    head = regression(LabeledFeatures(features, labels, centers))
    assert head.weight.shape == (count, HIDDEN)
    assert (head(features).argmax(axis=1) == labels).mean() > 0.95


def test_a_row_is_left_out_of_the_head_that_measures_it() -> None:
    centers, features, labels = clusters([1, 1])
    served = served_head(centers, features, labels)
    alone = served_head(centers, features[1:], labels[1:])
    # Lengths and scale belong to all rows, so only the direction of the logits is compared.
    mine, theirs = served.left_out[0], alone.head(features[:1])[0]
    assert np.sign(mine[0] - mine[1]) == np.sign(theirs[0] - theirs[1])
    changed = served_head(centers, np.stack([-features[0], features[1]]), labels)
    assert not np.allclose(changed.left_out[0], served.left_out[0])


def test_noisy_rows_get_less_certain_scores_than_clear_ones() -> None:
    clear = served_head(*clusters([30, 30], distance=3))
    noisy = served_head(*clusters([30, 30], distance=0.3))
    certainty = [np.abs(np.diff(one.left_out)).mean() for one in (clear, noisy)]
    assert certainty[0] > 3 * certainty[1]


def test_the_scale_of_the_features_changes_no_logit() -> None:
    centers, features, labels = clusters([8, 8, 8])
    one, other = served_head(centers, features, labels), served_head(centers, 7 * features, labels)
    assert_allclose(one.head(features), other.head(7 * features), rtol=1e-9)


def test_folds_share_the_rows_of_every_label() -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(3), [20, 40, 60]))
    folds = folds_of(labels)
    for label, count in enumerate([20, 40, 60]):
        assert np.bincount(folds[labels == label], minlength=FOLDS).tolist() == [count / 10] * 10
    assert sorted(folds_of(np.array([0, 1, 1])).tolist()) == [0, 1, 2]


def test_hundreds_of_labels_have_a_head() -> None:
    centers, features, labels = clusters([1] * 300)
    served = served_head(centers, features, labels)
    assert served.head.weight.shape == (300, HIDDEN)
    assert np.isfinite(served.head(features)).all()


def test_few_rows_do_not_choose_among_candidates() -> None:
    few = served_head(*clusters([3, 3]))
    assert few.computed_by == ONE_LABEL.usual.name
    candidates = ONE_LABEL.candidates
    assert len({one.name for one in candidates}) == len(candidates)
