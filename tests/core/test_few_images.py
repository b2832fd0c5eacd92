"""How few are too few, and how it is told."""

import numpy as np
import pytest
from scipy.stats import binom

from convtrials.core.few_images import (
    FEWEST_OF_A_CLASS,
    FEWEST_OF_A_SPLIT,
    few_images,
    few_images_sentence,
    interval_of_share,
    listed,
)


@pytest.mark.parametrize(
    ("right", "images"), [(0, 1), (1, 1), (0, 10), (5, 10), (9, 10), (50, 100), (127, 127)]
)
def test_the_interval_s_ends_are_where_either_tail_is_a_fortieth(right: int, images: int) -> None:
    low, high = interval_of_share(right, images)
    assert 0 <= low <= right / images <= high <= 1
    if right:
        assert binom.sf(right - 1, images, low) == pytest.approx(0.025)
    if right < images:
        assert binom.cdf(right, images, high) == pytest.approx(0.025)
    assert (low == 0) == (right == 0)
    assert (high == 1) == (right == images)


def test_the_bounds_are_what_their_comments_say() -> None:
    assert np.round(interval_of_share(FEWEST_OF_A_CLASS // 2, FEWEST_OF_A_CLASS), 2).tolist() == [0.19, 0.81]
    assert np.round(interval_of_share(FEWEST_OF_A_SPLIT // 2, FEWEST_OF_A_SPLIT), 2).tolist() == [0.4, 0.6]


def test_classes_below_the_bound_are_few() -> None:
    assert few_images({"a": 10, "b": 9, "c": 0, "d": 400}) == {"b": 9, "c": 0}
    assert few_images({"a": 10}) == {}


def test_one_class_and_several_are_told_with_their_counts() -> None:
    assert (
        few_images_sentence({"waves": 1})
        == "waves has 1 test image: too few to say how well it is recognised."
    )
    assert "waves has no test images:" in few_images_sentence({"waves": 0})
    assert "waves has 9 test images:" in few_images_sentence({"waves": 9})
    assert few_images_sentence({"a": 1, "b": 9}).startswith("2 classes have fewer than 10 test images")
    assert few_images_sentence({"a": 1, "b": 9}).endswith(": a (1), b (9).")
    many = few_images_sentence({f"class {k}": k for k in range(9)})
    assert many.endswith("class 7 (7) and 1 more.")


def test_of_many_names_the_first_few_are_listed() -> None:
    assert listed(["a"]) == "a"
    assert listed(list("abcdefgh")) == "a, b, c, d, e, f, g, h"
    assert listed(list("abcdefghij")) == "a, b, c, d, e, f, g, h and 2 more"
    assert listed(["a", "b"], most=1) == "a and 1 more"
