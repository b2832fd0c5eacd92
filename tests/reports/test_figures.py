"""What can be told of figures without eyes: labels that do not lie on each other, shapes, numbers shown."""

from itertools import pairwise

import numpy as np
import pytest
from synthetic_run import CHARACTERS, epoch, lifelike_probabilities
from test_report_build import EVERY_PICTURE

from convtrials.evaluation import evaluate_predictions
from convtrials.evaluation.predictions import Predictions
from convtrials.evaluation.scores import wilson_interval
from convtrials.reports.run.confusion import confusion_picture
from convtrials.reports.run.image_grids import THUMBNAIL, confused_pairs_picture, worst_mistakes_picture
from convtrials.reports.run.learning_curves import learning_curves
from convtrials.reports.run.per_class import MOST_SHOWN, per_class_picture
from convtrials.reports.run.ranking_curves import precision_recall_picture, roc_picture
from convtrials.reports.run.reliability import reliability_picture
from convtrials.reports.style import figure_style, short_name


@pytest.fixture(scope="module")
def pictures(all_characters):
    """Every picture of one set of predictions, by name."""
    indices = all_characters.indices("test")
    labels = all_characters.labels[indices]
    probabilities = lifelike_probabilities(labels, 36).astype(np.float64)
    found = Predictions(probabilities, labels, indices)
    metrics = evaluate_predictions(probabilities, labels, CHARACTERS, resamples=0)
    confusion = np.array(metrics["confusion_matrix"])
    made = (
        learning_curves([epoch(n, 12) for n in range(1, 13)], 12),
        confusion_picture(confusion, CHARACTERS),
        confused_pairs_picture(found, confusion, all_characters),
        worst_mistakes_picture(found, all_characters),
        per_class_picture(metrics["per_class"], metrics["f1"]["macro"]),
        reliability_picture(metrics["reliability"], metrics["expected_calibration_error"]),
        roc_picture(found, CHARACTERS),
        precision_recall_picture(found, CHARACTERS),
    )
    return {picture.name: picture for picture in made if picture is not None}


def drawn(picture):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with figure_style():
        figure = picture.draw()
        FigureCanvasAgg(figure).draw()
    return figure


def boxes(labels):
    return [label.get_window_extent() for label in labels if label.get_visible() and label.get_text()]


def overlaps(one, other):
    return one.x0 < other.x1 and other.x0 < one.x1 and one.y0 < other.y1 and other.y0 < one.y1


def test_all_pictures_are_made(pictures):
    assert pictures.keys() == EVERY_PICTURE


@pytest.mark.parametrize("name", sorted(EVERY_PICTURE))
def test_no_label_lies_on_its_neighbour_or_outside(pictures, name):
    figure = drawn(pictures[name])
    width, height = figure.canvas.get_width_height()
    for axes in figure.axes:
        if not axes.axison:
            continue
        for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
            for one, other in pairwise(boxes(labels)):
                assert not overlaps(one, other), name
        for box in boxes([axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label, *axes.texts]):
            assert box.x0 >= -1, name
            assert box.y0 >= -1, name
            assert box.x1 <= width + 1, name
            assert box.y1 <= height + 1, name


def test_the_confusion_matrix_names_every_class_and_counts_mistakes_worth_it(pictures):
    axes = drawn(pictures["confusion-matrix"]).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == list(CHARACTERS)
    confusion = np.array([row[1:] for row in pictures["confusion-matrix"].rows])
    worth = confusion / confusion.sum(axis=1, keepdims=True) >= 0.01
    assert len(axes.texts) == (worth | np.eye(36, dtype=bool)).sum()
    # A number fits its cell.
    cell = axes.get_window_extent().width / 36
    assert max(box.width for box in boxes(axes.texts)) < cell


def test_long_class_names_stay_inside_their_pictures(pictures):
    long = tuple(f"a class of rather long name {number}" for number in range(36))
    confusion = np.array([row[1:] for row in pictures["confusion-matrix"].rows])
    figure = drawn(confusion_picture(confusion, long))
    for labels in (figure.axes[0].get_xticklabels(), figure.axes[0].get_yticklabels()):
        for one, other in pairwise(boxes(labels)):
            assert not overlaps(one, other)
        assert min(min(box.x0, box.y0) for box in boxes(labels)) >= 0


def test_pairs_with_long_names_do_not_run_into_their_images(all_characters):
    from dataclasses import replace

    named = replace(all_characters, class_names=tuple(f"characteristic {number}" for number in range(36)))
    indices = named.indices("test")
    labels = named.labels[indices]
    found = Predictions(lifelike_probabilities(labels, 36).astype(np.float64), labels, indices)
    metrics = evaluate_predictions(found.probabilities, labels, named.class_names, resamples=0)
    figure = drawn(confused_pairs_picture(found, np.array(metrics["confusion_matrix"]), named))
    strips = min(axes.get_window_extent().x0 for axes in figure.axes)
    for box in boxes(figure.texts):
        assert 0 <= box.x0 < box.x1 < strips


def test_the_epoch_whose_weights_count_is_marked(pictures):
    texts = [text.get_text() for axes in drawn(pictures["learning-curves"]).axes for text in axes.texts]
    assert "weights of epoch 12 kept" in texts
    alone = learning_curves([epoch(1, 1)], 1)
    assert not [text for axes in drawn(alone).axes for text in axes.texts]


def test_a_history_with_gaps_is_drawn_as_far_as_it_goes():
    history = [
        {"epoch": 1, "val_loss": float("nan"), "val_accuracy": 0.5, "learning_rate": None},
        {"epoch": 2},
    ]
    figure = drawn(learning_curves(history, None))
    points = [list(line.get_xdata()) for axes in figure.axes for line in axes.lines]
    assert [1.0] in points
    assert all(2.0 not in xs for xs in points)


def test_classes_without_images_are_not_ranked_as_hard():
    labels = np.array([0, 0, 1, 1])
    metrics = evaluate_predictions(lifelike_probabilities(labels, 3), labels, "abc", resamples=0)
    shown = drawn(per_class_picture(metrics["per_class"], metrics["f1"]["macro"])).axes[0].get_yticklabels()
    assert sorted(label.get_text() for label in shown) == ["a", "b"]


def test_of_many_classes_the_worst_are_shown():
    labels = np.arange(80).repeat(4)
    names = [f"class {number}" for number in range(80)]
    metrics = evaluate_predictions(lifelike_probabilities(labels, 80), labels, names, resamples=0)
    picture = per_class_picture(metrics["per_class"], metrics["f1"]["macro"])
    assert f"The {MOST_SHOWN} classes with the lowest F1." in picture.caption
    shown = {label.get_text() for label in drawn(picture).axes[0].get_yticklabels()}
    best = max(metrics["per_class"], key=lambda row: row["f1"])
    assert len(shown) == MOST_SHOWN
    assert best["name"] not in shown
    assert len(picture.rows) == 80


def test_large_images_are_shown_small(make_dataset):
    from convtrials.reports.run.image_grids import _thumbnail

    dataset = make_dataset(classes=2, per_class=5, size=200, channels=3)
    small = _thumbnail(dataset, 3)
    assert small.shape == (THUMBNAIL, THUMBNAIL, 3)
    assert small.mean() == pytest.approx(dataset.images[3].mean(), abs=2)


def test_wilson_s_interval_agrees_with_scipy():
    from scipy.stats import binomtest

    for hits, count in ((0, 5), (3, 10), (400, 400), (37, 120)):
        low, high = wilson_interval(np.array([hits / count]), np.array([count]))
        expected = binomtest(hits, count).proportion_ci(0.95, method="wilson")
        assert (low[0], high[0]) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_names_are_cut_and_made_printable():
    assert short_name("abc") == "abc"
    assert short_name("species of moss number 17", 11) == "specie…r 17"
    assert len(short_name("a" * 30, 10)) == 10
    assert short_name("a\nb\x00") == "a b"
    assert short_name("\n") == "(blank)"
