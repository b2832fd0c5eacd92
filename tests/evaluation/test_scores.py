"""Scores against scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, log_loss, precision_score, recall_score

from convtrials.evaluation.scores import (
    SMALLEST_PROBABILITY,
    log_losses,
    macro_f1_of_counts,
    macro_precision_of_counts,
    macro_recall_of_counts,
)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 7))
def test_the_mean_loss_is_scikit_learns_also_at_zero(seed: int, classes: int) -> None:
    draws = np.random.default_rng(seed)
    # Exact zeros and ones are among the probabilities, as a softmax in float32 rounds to them.
    probabilities = np.eye(classes, dtype=np.float32)[draws.integers(0, classes, 30)]
    probabilities[::2] = draws.dirichlet(np.ones(classes), 15)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    labels = draws.integers(0, classes, 30)
    expected = log_loss(labels, probabilities, labels=range(classes))
    assert log_losses(probabilities, labels).mean() == pytest.approx(expected, rel=1e-5)


def test_losses_are_bounded_and_nan_stays_nan() -> None:
    probabilities = np.array([[0.0, 1.0], [1.0, 0.0], [np.nan, np.nan]])
    losses = log_losses(probabilities, np.array([0, 0, 0]))
    assert losses[:2].tolist() == [-np.log(SMALLEST_PROBABILITY), 0.0]
    assert np.isnan(losses[2])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 7))
def test_macro_averages_are_scikit_learns_over_the_classes_present(seed: int, classes: int) -> None:
    draws = np.random.default_rng(seed)
    labels, predicted = draws.integers(0, classes, (2, 12))
    support, claims = (np.bincount(of, minlength=classes) for of in (labels, predicted))
    hits = np.bincount(labels[labels == predicted], minlength=classes)
    # Resamples lie in columns; doubling every count changes nothing.
    columns = [np.stack([of, 2 * of], axis=1) for of in (support, claims, hits)]
    for of_counts, score in (
        (macro_f1_of_counts, f1_score),
        (macro_precision_of_counts, precision_score),
        (macro_recall_of_counts, recall_score),
    ):
        expected = score(labels, predicted, labels=np.unique(labels), average="macro", zero_division=0)
        assert float(of_counts(support, claims, hits)) == pytest.approx(expected)
        assert of_counts(*columns) == pytest.approx([expected, expected])
