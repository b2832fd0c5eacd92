import numpy as np
from synthetic_run import lifelike_probabilities

from convtrials.core.formatting import duration, percent
from convtrials.evaluation import evaluate_predictions
from convtrials.reports.run.headlines import headlines, summary


def test_durations_are_told_as_people_tell_them():
    assert [duration(s) for s in (0.26, 12.4, 75.2, 3599.6, 7500)] == [
        "0.3 s",
        "12 s",
        "1 min 15 s",
        "1 h 0 min",
        "2 h 5 min",
    ]
    assert duration(None) == duration(float("nan")) == duration(-1) == duration(float("inf")) == "–"


def test_percentages():
    assert percent(0.9123) == "91.2%"
    assert percent(None) == "–"


def test_headlines_and_summary_of_a_small_split():
    labels = np.array([0, 0, 0, 1])
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.1, 0.9]])
    metrics = evaluate_predictions(probabilities, labels, ["cat", "dog"], resamples=50) | {"warnings": []}
    assert [one.label for one in headlines(metrics)] == [
        "Accuracy",
        "Macro precision",
        "Macro recall",
        "Macro F1",
        "Macro ROC AUC",
        "Log loss",
        "Calibration error",
    ]
    assert headlines(metrics)[0].value == "75.0%"
    told = " ".join(summary(metrics, [("cat", "dog", 1, 3)]))
    assert "classifies 75.0 of 100 test images correctly, measured on 4 images" in told
    assert "dog (67%) and cat (80%)" in told
    assert "cat classified as dog, 1 of 3 images" in told


def test_without_intervals_none_are_claimed():
    labels = np.arange(6).repeat(4)
    metrics = evaluate_predictions(lifelike_probabilities(labels, 6), labels, "abcdef", resamples=0)
    assert all(one.interval == "" for one in headlines(metrics))
    assert "likely" not in " ".join(summary(metrics | {"warnings": []}, []))


def test_the_summary_of_a_run_that_learned_nothing_does_not_praise_it():
    labels = np.repeat([0, 1, 2], [75, 35, 17])
    probabilities = np.tile([0.6, 0.3, 0.1], (127, 1))
    metrics = evaluate_predictions(probabilities, labels, ["balls", "bricks", "waves"], resamples=0)
    [told] = summary(metrics | {"warnings": [{"kind": "one_class"}]}, [("bricks", "balls", 35, 35)])
    assert told == (
        "Of 127 test images that training never saw it classifies 59.1% correctly. Always answering 'balls', "
        "without looking at any image, gives 59.1%."
    )
