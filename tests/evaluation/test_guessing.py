"""Whether a run is better than guessing: exact numbers, error rates in simulation, and the cases that mislead."""

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, cohen_kappa_score, roc_auc_score

from convtrials.evaluation.guessing import LEVEL, NOT_LEARNED, Answers, against_guessing, chance_of


def standing(labels, predicted, classes, auc=None):
    return against_guessing(Answers.of(np.asarray(labels), np.asarray(predicted), classes), auc)


def with_right(support, right):
    """Labels, and answers of which so many are right, the others the next class."""
    labels = np.repeat(np.arange(len(support)), support)
    draws = np.random.default_rng(0).permutation(len(labels))
    predicted = labels.copy()
    predicted[draws[right:]] = (labels[draws[right:]] + 1) % len(support)
    return labels, predicted


@pytest.mark.parametrize(
    ("right", "images", "share"), [(0, 10, (1, 4)), (3, 10, (1, 10)), (20, 60, (1, 3)), (7, 7, (9, 10))]
)
def test_the_test_is_the_exact_binomial_one(right, images, share):
    p = Fraction(*share)
    exact = sum(comb(images, k) * p**k * (1 - p) ** (images - k) for k in range(right, images + 1))
    assert chance_of(right, images, float(p)) == pytest.approx(float(exact), rel=1e-12)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of a kappa that does not exist
@given(st.data())
@settings(max_examples=60, deadline=None)
def test_counts_and_kappa_are_sklearn_s(data):
    classes = data.draw(st.integers(2, 5))
    one = st.integers(0, classes - 1)
    pairs = data.draw(st.lists(st.tuples(one, one), min_size=1, max_size=60))
    labels, predicted = np.array(pairs).T
    found = standing(labels, predicted, classes)
    assert found.accuracy == pytest.approx(accuracy_score(labels, predicted))
    assert found.guessing == np.bincount(labels).max() / len(labels)
    assert found.answers_alike == (predicted == found.answer).sum() == np.bincount(predicted).max()
    kappa = cohen_kappa_score(labels, predicted)
    if np.isfinite(kappa):  # it does not exist where both are one class
        assert found.kappa == pytest.approx(kappa)


def test_a_network_that_did_not_learn_36_characters_is_at_chance():
    # The case behind the rule: 3.24% of 3,780 images, where guessing gives 2.78%.
    labels, predicted = with_right([105] * 36, 122)
    found = standing(labels, predicted, 36)
    assert found.kind == "at_chance"
    assert (found.right, found.images) == (122, 3780)
    assert found.guessing == pytest.approx(1 / 36)
    assert found.p_value > LEVEL


def test_half_a_point_above_guessing_is_nothing_learned_however_many_images_show_it():
    labels, predicted = with_right([2000] * 36, 2332)
    found = standing(labels, predicted, 36)
    assert found.p_value < 1e-8
    assert found.kind == "at_chance"
    assert standing(*with_right([2000] * 36, 7200), 36).kind is None  # 10% is a beginning


def test_photos_all_named_balls_are_one_class():
    labels = np.repeat(np.arange(5), [75, 30, 15, 6, 1])
    found = standing(labels, np.zeros_like(labels), 5, auc=0.41)
    assert found.kind == "one_class"
    assert (found.answer, found.answers_alike, found.right) == (0, 127, 75)
    assert not found.ranks


def test_nearly_one_class_is_one_class_where_nothing_else_is_right():
    labels = np.repeat([0, 1], [600, 400])
    predicted = np.zeros_like(labels)
    predicted[::125] = 1  # eight, of which five are of class 0
    assert standing(labels, predicted, 2).kind == "one_class"


def test_answers_that_are_alike_because_the_images_are_are_no_fault():
    labels = np.repeat([0, 1], [995, 5])
    assert standing(labels, labels, 2).kind is None
    few_wrong = labels.copy()
    few_wrong[[0, 999]] = [1, 0]  # 99.5% are answered alike, and four of five rare ones are found
    assert standing(labels, few_wrong, 2).kind not in NOT_LEARNED


def test_a_useful_run_that_hardly_beats_the_largest_class_has_an_accuracy_that_misleads():
    labels = np.repeat([0, 1], [900, 100])
    predicted = labels.copy()
    predicted[:45], predicted[-50:] = 1, 0  # 90.5% right, half of the rare ones found
    found = standing(labels, predicted, 2)
    assert found.accuracy == 0.905
    assert found.kind == "accuracy_misleads"
    assert found.kappa > 0.4
    predicted[:120] = 1  # below guessing even, as a network trained on balanced draws is
    assert standing(labels, predicted, 2).kind == "accuracy_misleads"


@pytest.mark.parametrize(
    ("support", "right", "kind"),
    [
        ([1] * 10, 3, "test_set_too_small"),  # 30% where guessing gives 10%: 7% by chance
        ([1] * 10, 9, None),
        ([5, 5], 5, "test_set_too_small"),
        ([5, 5], 10, None),  # 1 in 1,024
        ([9, 1], 10, "test_set_too_small"),  # nobody could be shown to be better
        ([500, 500], 500, "at_chance"),
        ([30, 30], 30, "test_set_too_small"),  # it might be 64% right
        ([7], 7, None),  # a single class tells nothing of a run
    ],
)
def test_few_images_are_not_held_against_a_run(support, right, kind):
    classes = max(len(support), 2)
    labels, predicted = with_right(support, right)
    assert standing(labels, predicted, classes).kind == kind


def test_one_answer_to_few_images_is_not_held_against_a_run_either():
    labels = np.array([0] * 9 + [1])
    assert standing(labels, np.zeros(10, int), 2).kind == "test_set_too_small"
    labels = np.array([0] * 3 + [1] * 7)  # who knows half of the others misses all seven once in 128
    assert standing(labels, np.zeros(10, int), 2).kind == "one_class"


def test_guesses_are_rarely_called_knowledge():
    draws = np.random.default_rng(3)
    for shares in ([1] * 10, [6, 2, 1, 1]):
        shares = np.array(shares) / sum(shares)
        labels = draws.choice(len(shares), 800, p=shares)
        kinds = [
            standing(labels, draws.choice(len(shares), 800, p=draws.dirichlet(shares)), len(shares)).kind
            for _ in range(400)
        ]
        # Both tests at 1%, and more than a trifle above chance: at most 2% in all.
        assert sum(kind not in NOT_LEARNED for kind in kinds) <= 16


def test_networks_that_learned_a_little_are_never_called_lost():
    draws = np.random.default_rng(4)
    labels = draws.integers(0, 10, 1000)
    for _ in range(200):
        known = draws.random(1000) < 0.1
        predicted = np.where(known, labels, draws.integers(0, 10, 1000))
        assert standing(labels, predicted, 10).kind is None


def test_a_ranking_beyond_chance_is_seen_and_one_by_chance_is_not():
    draws = np.random.default_rng(5)
    labels = np.repeat([0, 1, 2], [600, 60, 40])
    answers = np.zeros_like(labels)
    by_chance = [
        standing(labels, answers, 3, auc_of(labels, draws.random((700, 3)))).ranks for _ in range(200)
    ]
    assert sum(by_chance) <= 4
    knowing = draws.random((700, 3))
    knowing[np.arange(700), labels] += 0.5
    assert standing(labels, answers, 3, auc_of(labels, knowing)).ranks
    assert standing(labels, answers, 3, auc_of(labels, knowing)).kind == "one_class"
    # The same area on few images may be chance; a faint one on many is no ranking to speak of.
    assert not standing(labels[::70], answers[::70], 3, 0.7).ranks
    assert not standing(np.tile(labels, 100), np.tile(answers, 100), 3, 0.55).ranks
    assert not standing(np.zeros(700, int), answers, 3, 0.9).ranks
    assert not standing(labels, answers, 3).ranks


def auc_of(labels, scores):
    return float(np.mean([roc_auc_score(labels == k, scores[:, k]) for k in range(scores.shape[1])]))
