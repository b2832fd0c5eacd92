"""Splits keep shares, classes and groups, whatever the labels."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from convtrials.core.errors import DataError
from convtrials.data.split import UNASSIGNED, assign_splits, check_ratios, share_out

labels_of = npst.arrays(np.int64, st.integers(1, 200), elements=st.integers(0, 4))
ratios_of = st.tuples(st.integers(1, 20), st.integers(0, 10), st.integers(0, 10)).map(
    lambda parts: tuple(part / sum(parts) for part in parts)
)


@given(st.integers(0, 500), ratios_of)
def test_shares_add_up_and_stay_within_one(total: int, ratios: tuple[float, ...]) -> None:
    shares = np.array(ratios)
    counts = share_out(total, shares)
    assert counts.sum() == total
    assert (counts >= 0).all()
    raised = (counts == 1) & (total * shares < 1)
    if not raised.any():
        assert (np.abs(counts - total * shares) < 1 + 1e-6).all()
    if total >= (shares > 0).sum():
        assert (counts[shares > 0] >= 1).all()
    assert (counts[shares == 0] == 0).all()


@example(np.zeros(8, np.int64), (1 / 6, 2 / 3, 1 / 6), 0)  # a tie that the last bit once decided
@given(labels_of, ratios_of, st.integers(0, 3))
def test_every_class_has_its_shares(labels: np.ndarray, ratios: tuple[float, ...], seed: int) -> None:
    split = assign_splits(labels, ratios=ratios, seed=seed)
    for label in np.unique(labels):
        counts = np.bincount(split[labels == label], minlength=3)
        np.testing.assert_array_equal(counts, share_out(int((labels == label).sum()), np.array(ratios)))
    np.testing.assert_array_equal(split, assign_splits(labels, ratios=ratios, seed=seed))


def test_a_seed_is_a_split() -> None:
    labels = np.repeat(np.arange(5), 100)
    first, second = assign_splits(labels, seed=0), assign_splits(labels, seed=1)
    assert (first != second).any()
    np.testing.assert_array_equal(np.bincount(first), [350, 75, 75])
    # What a class gets does not hang on the other classes.
    np.testing.assert_array_equal(assign_splits(labels[:300], seed=0), first[:300])


def test_the_draw_is_fair() -> None:
    labels = np.zeros(20, np.int64)
    times = sum(assign_splits(labels, seed=seed) == 2 for seed in range(400))
    # Each image is in test with chance 0.15: 60 of 400, standard deviation 7.1.
    assert np.abs(times - 60).max() < 4.5 * 7.2


@given(labels_of, st.data())
def test_sampled_groups_stay_whole(labels: np.ndarray, data: st.DataObject) -> None:
    groups = data.draw(npst.arrays(np.int32, len(labels), elements=st.integers(0, 30)))
    if len(np.unique(groups)) < 3:
        with pytest.raises(DataError, match="cannot fill"):
            assign_splits(labels, groups=groups, groups_are_sampled=True)
        return
    split = assign_splits(labels, groups=groups, groups_are_sampled=True)
    assert set(split) == {0, 1, 2}
    for group in np.unique(groups):
        assert len(set(split[groups == group])) == 1


def test_many_writers_come_near_the_ratios() -> None:
    generator = np.random.default_rng(0)
    groups = generator.integers(0, 300, 6000).astype(np.int32)
    labels = generator.integers(0, 10, 6000)
    split = assign_splits(labels, groups=groups, groups_are_sampled=True, seed=2)
    np.testing.assert_allclose(np.bincount(split) / 6000, [0.7, 0.15, 0.15], atol=0.01)
    for label in range(10):
        np.testing.assert_allclose(
            np.bincount(split[labels == label]) / (labels == label).sum(), [0.7, 0.15, 0.15], atol=0.06
        )


@given(st.integers(1, 6), st.integers(2, 7), st.integers(0, 5))
def test_a_fixed_factor_is_spread_evenly(per_cell: int, kinds: int, seed: int) -> None:
    labels = np.repeat(np.arange(4), 20 * per_cell * kinds)
    groups = np.tile(np.arange(kinds, dtype=np.int32), 4 * 20 * per_cell)
    split = assign_splits(labels, groups=groups, seed=seed)
    for label in range(4):
        for kind in range(kinds):
            counts = np.bincount(split[(labels == label) & (groups == kind)], minlength=3)
            assert np.abs(counts - 20 * per_cell * np.array([0.7, 0.15, 0.15])).max() <= 1.5


@given(labels_of, st.integers(0, 3))
def test_what_the_source_fixed_stays(labels: np.ndarray, seed: int) -> None:
    given_split = np.where(np.random.default_rng(seed).random(len(labels)) < 0.2, 2, UNASSIGNED).astype(
        np.uint8
    )
    given_split[0] = 2
    split = assign_splits(labels, given=given_split, seed=seed)
    np.testing.assert_array_equal(split == 2, given_split == 2)
    for label in np.unique(labels):
        own = split[(labels == label) & (given_split == UNASSIGNED)]
        expected = share_out(len(own), np.array([70 / 85, 15 / 85, 0]))
        np.testing.assert_array_equal(np.bincount(own, minlength=3), expected)


def test_a_complete_split_is_returned_as_it_is() -> None:
    complete = np.array([2, 0, 1, 0], np.uint8)
    np.testing.assert_array_equal(assign_splits(np.zeros(4, np.int64), given=complete), complete)


@pytest.mark.parametrize(
    "ratios", [(0.5, 0.5), (0, 0.5, 0.5), (0.7, 0.2, 0.2), (1.2, -0.1, -0.1), (float("nan"), 0.5, 0.5)]
)
def test_impossible_ratios_are_told(ratios: tuple[float, ...]) -> None:
    with pytest.raises(DataError, match="together 1"):
        check_ratios(ratios)


def test_more_images_never_take_a_split_away() -> None:
    shares = np.array([0.7, 0.15, 0.15])
    sizes = [share_out(total, shares) for total in range(3, 200)]
    assert all((later >= earlier - 1).all() for earlier, later in pairwise(sizes))
