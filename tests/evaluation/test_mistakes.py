import numpy as np

from convtrials.evaluation.mistakes import ConfusedPair, most_confused_pairs, rows_of_pair, worst_mistakes
from convtrials.evaluation.predictions import Predictions

#: Rows: right, wrong at 0.6, wrong at 0.9, wrong the other way at 0.7.
PREDICTIONS = Predictions(
    probabilities=np.array([[0.8, 0.2], [0.4, 0.6], [0.1, 0.9], [0.7, 0.3]]),
    labels=np.array([0, 0, 0, 1]),
    indices=np.arange(4),
)


def test_pairs_come_most_first_and_without_the_diagonal():
    confusion = np.array([[90, 3, 7], [0, 5, 5], [9, 0, 0]])
    pairs = most_confused_pairs(confusion, 3)
    assert pairs == [ConfusedPair(2, 0, 9, 1.0), ConfusedPair(0, 2, 7, 0.07), ConfusedPair(1, 2, 5, 0.5)]
    assert len(most_confused_pairs(confusion, 99)) == 4


def test_no_mistake_no_pair():
    assert most_confused_pairs(np.diag([3, 4]), 5) == []
    assert confusion_is_untouched()


def confusion_is_untouched():
    confusion = np.array([[3, 1], [0, 4]])
    most_confused_pairs(confusion, 1)
    return confusion[0, 0] == 3


def test_the_surest_mistakes_come_first():
    assert worst_mistakes(PREDICTIONS, 10).tolist() == [2, 3, 1]
    assert worst_mistakes(PREDICTIONS, 1).tolist() == [2]
    assert rows_of_pair(PREDICTIONS, ConfusedPair(0, 1, 2, 2 / 3), 10).tolist() == [2, 1]
