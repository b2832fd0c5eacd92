"""The order of an epoch that draws every class equally often."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convtrials.core.errors import DataError
from convtrials.data.balanced_order import balanced_order
from convtrials.data.batches import Batches, epoch_order, image_weights
from convtrials.data.dataset import Dataset

some_labels = st.lists(st.integers(0, 6), min_size=1, max_size=120).map(lambda own: np.array(own, np.int64))


@settings(deadline=None, max_examples=60)
@given(labels=some_labels, seed=st.integers(-(2**40), 2**40), epoch=st.integers(0, 50))
def test_every_class_is_drawn_equally_often(labels: np.ndarray, seed: int, epoch: int) -> None:
    order = balanced_order(labels, seed, epoch)
    assert order.dtype == np.int64
    assert len(order) == len(labels)
    assert np.array_equal(order, balanced_order(labels, seed, epoch))
    _, drawn = np.unique(labels[order], return_counts=True)
    classes = len(np.unique(labels))
    if len(labels) >= classes:
        assert len(drawn) == classes
    assert drawn.max() - (drawn.min() if len(drawn) == classes else 0) <= 1


@settings(deadline=None, max_examples=40)
@given(labels=some_labels, seed=st.integers(0, 1000))
def test_no_image_comes_twice_before_each_other_of_its_class_came_once(labels: np.ndarray, seed: int) -> None:
    """Within an epoch; and over the epochs that a class larger than its share needs to come round."""
    classes = len(np.unique(labels))
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        epochs = -(-len(places) // (len(labels) // classes))
        for first in (0, epochs, 2 * epochs):
            own = [balanced_order(labels, seed, epoch) for epoch in range(first, first + epochs)]
            own = [order[labels[order] == label] for order in own]
            for row in (*own, np.concatenate(own)):
                assert_once_before_twice(row, len(places))
            assert len(np.unique(np.concatenate(own))) == len(places)


def assert_once_before_twice(row: np.ndarray, count: int) -> None:
    for start in range(0, len(row), count):
        part = row[start : start + count]
        assert len(np.unique(part)) == len(part)


def test_one_more_goes_round() -> None:
    labels = np.array([0] * 8 + [1, 2], np.int64)  # ten images, three classes: 4, 3, 3
    drawn = sum(np.bincount(labels[balanced_order(labels, 5, epoch)], minlength=3) for epoch in range(3))
    assert drawn.tolist() == [10, 10, 10]


def test_seeds_and_epochs_have_orders_of_their_own() -> None:
    labels = np.array([0] * 40 + [1] * 10, np.int64)
    orders = {tuple(balanced_order(labels, seed, epoch)) for seed in range(4) for epoch in range(4)}
    assert len(orders) == 16


def test_classes_are_mixed_evenly_over_an_epoch() -> None:
    labels = np.array([0] * 3000 + [1] * 30, np.int64)
    halves = labels[balanced_order(labels, 0, 0)].reshape(2, -1).mean(axis=1)
    assert np.abs(halves - 0.5).max() < 0.05


def test_a_class_of_one_image_among_many() -> None:
    labels = np.array([0] * 999_999 + [1], np.int64)
    order = balanced_order(labels, 0, 3)
    assert (order == 999_999).sum() == 500_000
    assert len(np.unique(order)) == 500_001


def dataset(weights: np.ndarray | None = None) -> Dataset:
    return Dataset(
        "d", np.zeros((6, 2, 2, 1), np.uint8), np.array([0, 0, 0, 1, 1, 1]), ("a", "b"),
        np.array([0, 0, 0, 0, 1, 2], np.uint8), "0", (0.5,), (0.5,), weights=weights,
    )  # fmt: skip


def test_batches_give_both_orders() -> None:
    train = Batches(dataset(), "train")
    assert np.array_equal(train.epoch_order(3, 2), epoch_order(4, 3, 2))
    assert np.array_equal(train.epoch_order(3, 2, "balanced"), balanced_order(np.array([0, 0, 0, 1]), 3, 2))


def test_weights_of_a_split() -> None:
    assert image_weights(dataset()) is None
    given_weights = np.array([1, 2, 0, 0.5, 9, 9], np.float32)
    found = image_weights(dataset(given_weights))
    assert found is not None
    assert found.tolist() == [1, 2, 0, 0.5]
    assert image_weights(dataset(np.array([3, 3, 3, 3, 1, 2]))) is None  # all alike in training
    held_out = dataset(np.array([1, 2, 3, 1, 0, 0]))  # nothing counts where nothing is trained on
    assert Batches(held_out, "val").image_weights is None
    assert Batches(held_out, "test").image_weights is None


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ([1.0, 2.0], "needed is one finite number of 0 or more for each image"),
        ([1, 1, 1, -1, 1, 1], "of 0 or more"),
        ([1, 1, 1, np.nan, 1, 1], "one finite number"),
        ([0, 0, 0, 0, 1, 1], "all images of train have the weight 0"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weights: list[float], said: str) -> None:
    with pytest.raises(DataError, match=said):
        image_weights(dataset(np.array(weights)))
