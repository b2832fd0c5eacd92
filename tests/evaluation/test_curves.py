import numpy as np
import pytest
from synthetic_run import lifelike_probabilities

from convtrials.evaluation.curves import (
    CURVE_POINTS,
    macro_roc,
    one_hot,
    precision_recall_of,
    rankable_classes,
    roc_curves,
    roc_of,
)


def test_a_curve_known_by_hand():
    curve = roc_of("c", np.array([True, True, False, False]), np.array([0.9, 0.4, 0.6, 0.1]))
    assert curve.area == 0.75
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)
    recall = precision_recall_of("c", np.array([True, True, False, False]), np.array([0.9, 0.4, 0.6, 0.1]))
    # Thresholds 0.9, 0.6 and 0.4 give precisions 1, 1/2 and 2/3.
    assert recall.area == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert recall.x[0] == 0
    assert recall.x[-1] == 1


def test_a_long_curve_is_thinned_without_moving():
    draws = np.random.default_rng(0)
    truth = draws.random(20_000) < 0.3
    scores = draws.normal(size=20_000) + truth
    curve = roc_of("c", truth, scores)
    assert 100 < len(curve.x) <= CURVE_POINTS + 2
    assert (np.diff(curve.x) >= 0).all()
    assert (np.diff(curve.y) >= 0).all()
    # The area under the points that are left is the area that is told.
    assert np.trapezoid(curve.y, curve.x) == pytest.approx(curve.area, abs=2e-3)


def test_only_classes_with_images_inside_and_outside_have_curves():
    labels = np.array([0, 0, 2, 2])
    assert rankable_classes(labels, 4) == [0, 2]
    assert [curve.name for curve in roc_curves(lifelike_probabilities(labels, 4), labels, "abcd")] == [
        "a",
        "c",
    ]
    assert rankable_classes(np.array([1, 1]), 2) == []


def test_the_macro_curve_has_the_mean_area():
    labels = np.random.default_rng(1).integers(0, 5, 2000)
    curves = roc_curves(lifelike_probabilities(labels, 5, sharpness=0.3), labels, "abcde")
    average = macro_roc(curves)
    assert average.area == pytest.approx(np.mean([curve.area for curve in curves]))
    assert np.trapezoid(average.y, average.x) == pytest.approx(average.area, abs=3e-3)


def test_one_hot_marks_each_image_once():
    assert one_hot(np.array([2, 0]), 3).tolist() == [[False, False, True], [True, False, False]]
