import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from convtrials.evaluation.calibration import bin_of, expected_calibration_error, reliability_bins

unit = st.floats(0, 1)


def reference_error(confidence, correct, bins):
    """Equation 3 of Guo et al., bin by bin, with bins (low, high]."""
    total = 0.0
    for b in range(bins):
        low, high = b / bins, (b + 1) / bins
        inside = [i for i, c in enumerate(confidence) if low < c <= high or (b == 0 and c == 0)]
        if inside:
            accuracy = sum(correct[i] for i in inside) / len(inside)
            sureness = sum(confidence[i] for i in inside) / len(inside)
            total += len(inside) / len(confidence) * abs(accuracy - sureness)
    return total


@given(
    st.lists(st.tuples(st.integers(0, 1000), st.booleans()), min_size=1, max_size=40),
    st.sampled_from([1, 4, 10]),
)
def test_the_error_is_that_of_the_paper(pairs, bins):
    # Thousandths are kept away from the edges, where 0.3 is a hair above or below 3/10.
    confidence = np.array([(n + 0.5) / 1001 for n, _ in pairs])
    correct = np.array([c for _, c in pairs])
    assert expected_calibration_error(confidence, correct, bins) == pytest.approx(
        reference_error(confidence, correct, bins)
    )


@given(arrays(np.float64, st.integers(1, 30), elements=unit))
def test_each_image_is_in_one_bin_and_the_counts_add_up(confidence):
    bins = reliability_bins(confidence, confidence > 0.5)
    assert bins.counts.sum() == len(confidence)
    assert 0 <= bins.expected_error <= 1


def test_edges_belong_to_the_bin_below():
    assert bin_of(np.array([0.0, 0.25, 0.26, 0.5, 1.0]), 4).tolist() == [0, 0, 1, 1, 3]


def test_known_gaps_add_up():
    confidence = np.array([0.95, 0.95, 0.55, 0.55])
    correct = np.array([True, False, True, True])
    assert expected_calibration_error(confidence, correct, 10) == pytest.approx(0.5 * 0.45 + 0.5 * 0.45)


def test_a_calibrated_forecaster_has_a_small_error():
    draws = np.random.default_rng(0)
    confidence = draws.random(200_000)
    assert expected_calibration_error(confidence, draws.random(200_000) < confidence) < 0.005
