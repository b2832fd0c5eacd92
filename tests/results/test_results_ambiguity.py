"""Like classes and agreement of runs: against counts by hand, and by properties."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from benchmarks.results.ambiguity import (
    CHARACTER_GROUPS,
    agreement,
    group_errors,
    group_of_classes,
    majority,
    merge_groups,
)
from convtrials.core.errors import RunError

NAMES = ["0", "1", "O", "I", "L"]
MERGED = group_of_classes(NAMES, [["0", "O"], ["1", "I", "L"]])


def test_classes_of_a_group_get_one_number() -> None:
    assert MERGED.tolist() == [0, 1, 0, 1, 1]


def test_the_groups_of_characters_are_classes_of_emnist() -> None:
    names = [*"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    merged = group_of_classes(names, CHARACTER_GROUPS)
    assert len(set(merged.tolist())) == 36 - 5


@pytest.mark.parametrize(
    ("groups", "told"),
    [
        ([["0", "Q"]], "'Q' is not a class of this dataset"),
        ([["0", "O"], ["O", "1"]], "'O' stands in two groups"),
    ],
)
def test_groups_that_make_no_sense_are_refused(groups: list[list[str]], told: str) -> None:
    with pytest.raises(RunError, match=told):
        group_of_classes(NAMES, groups)


def test_confusions_inside_groups_are_forgiven() -> None:
    labels = np.array([0, 1, 2, 3])
    answers = np.array(
        [[0, 3, 0, 0], [0, 1, 2, 4]]
    )  # two of four wrong inside, one outside; one wrong inside
    found = merge_groups(answers, labels, MERGED)
    assert found.accuracy == 4 / 8
    assert found.merged_accuracy == 7 / 8
    assert found.errors_inside == pytest.approx(3 / 4)
    assert group_errors(answers, labels, MERGED) == {0: 0.5, 1: 1.0}


def test_without_errors_there_is_nothing_to_forgive() -> None:
    labels = np.array([0, 1])
    assert merge_groups(labels[None], labels, MERGED).errors_inside == 0


def test_agreement_is_counted() -> None:
    labels = np.array([0, 0, 0, 0, 1])
    answers = np.array([[0, 2, 1, 1, 1], [0, 2, 2, 1, 0], [0, 2, 1, 1, 1]])
    found = agreement(answers, labels, MERGED)
    assert found.runs == 3
    assert found.mean_accuracy == pytest.approx(5 / 15)
    assert found.vote_accuracy == pytest.approx(2 / 5)
    assert (found.all_right, found.some_right, found.none_right) == pytest.approx((1 / 5, 1 / 5, 3 / 5))
    assert found.same_wrong == pytest.approx(2 / 5)  # the third image is wrong in two ways
    assert found.same_wrong_inside == pytest.approx(1 / 5)


def test_of_equals_the_earlier_run_decides() -> None:
    assert majority(np.array([[3, 1], [1, 3]]), 5).tolist() == [3, 1]
    assert majority(np.array([[3], [1], [1]]), 5).tolist() == [1]


@given(
    arrays(np.int64, st.tuples(st.integers(1, 9), st.integers(1, 12)), elements=st.integers(0, 4)),
    st.data(),
)
def test_the_majority_is_most_common_and_shares_add_up(answers: np.ndarray, data: st.DataObject) -> None:
    labels = data.draw(arrays(np.int64, answers.shape[1], elements=st.integers(0, 4)))
    for image, winner in enumerate(majority(answers, 5)):
        # Counter keeps the order of first appearance among equals.
        assert winner == Counter(answers[:, image].tolist()).most_common(1)[0][0]
    found = agreement(answers, labels, MERGED)
    assert found.all_right + found.some_right + found.none_right == pytest.approx(1)
    assert found.same_wrong_inside <= found.same_wrong <= found.none_right
    assert found.all_right - 1e-9 <= found.mean_accuracy <= 1 - found.none_right + 1e-9
    merged = merge_groups(answers, labels, MERGED)
    inside = sum(group_errors(answers, labels, MERGED).values())
    assert merged.merged_accuracy - merged.accuracy == pytest.approx(inside / answers.shape[1])
