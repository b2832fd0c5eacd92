import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from convtrials.core.streams import stream_generator, stream_seed

anything = st.tuples(
    st.integers(-(2**40), 2**40), st.sampled_from(["init", "order", "augment"]), st.integers(0, 2**40)
)


@given(anything, anything)
def test_different_draws_have_different_seeds(one: tuple[int, str, int], other: tuple[int, str, int]) -> None:
    assert (stream_seed(*one) == stream_seed(*other)) == (one == other)
    assert 0 <= stream_seed(*one) < 2**63


def test_values_are_fixed_for_ever() -> None:
    # a changed value would change every result that was ever recorded
    assert stream_seed(0, "order", 0) == 3471081512423777433
    assert stream_seed(7, "augment", 123) == 2112439814971579866
    assert stream_generator(0, "order", 1).integers(0, 1000, 4).tolist() == [675, 562, 685, 832]


def test_neighbouring_steps_are_uncorrelated() -> None:
    rows = np.array([stream_generator(0, "order", step).normal(size=400) for step in range(40)])
    correlations = np.corrcoef(rows)[np.triu_indices(40, 1)]
    assert abs(correlations.mean()) < 0.02
    assert abs(correlations.std() - 400**-0.5) < 0.01
