"""An interval for the expected calibration error, an estimate that noise pushes upwards."""

import numpy as np
from numpy.typing import NDArray

from convtrials.evaluation.calibration import BINS, bin_of, expected_calibration_error
from convtrials.evaluation.resampling import Interval, Statistic, indicator, percentile_interval


def calibration_error(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_], bins: int = BINS
) -> Statistic:
    """Return the statistic "expected calibration error"."""
    gaps = indicator(bin_of(confidence, bins), bins, correct - confidence)
    return lambda weights: np.abs(gaps @ weights).sum(axis=0) / weights.sum(axis=0)


def calibrated_errors(
    confidence: NDArray[np.float64],
    correct: NDArray[np.bool_],
    draws: int,
    generator: np.random.Generator,
    groups: NDArray[np.int64] | None = None,
) -> NDArray[np.float64]:
    """Draw the calibration errors that a perfectly calibrated network would show by chance.

    Without groups, each image comes out right with its own confidence, by itself (consistency resampling). Images of
    one group are right or wrong together, more than confidence alone says; there, the observed gaps are kept and whole
    groups change sign: their mean is then zero, and what images of a group share stays (the wild cluster bootstrap with
    the hypothesis imposed). Where the network is in truth badly calibrated, that errs towards larger errors.

    Parameters
    ----------
    confidence, correct : ndarray, shape (N,)
        The images' confidence, and whether the answer is right.
    draws : int
        R.
    generator : numpy.random.Generator
        Where the draws come from.
    groups : ndarray of int64, shape (N,), or None
        Sampled group of each image, ``0`` to ``G - 1``.

    Returns
    -------
    ndarray of float64, shape (R,)

    References
    ----------
    Broecker, Smith: Increasing the Reliability of Reliability Diagrams, Weather and Forecasting 22 (2007).
    Cameron, Gelbach, Miller: Bootstrap-Based Improvements for Inference with Clustered Errors, Review of Economics
    and Statistics 90 (2008).
    """
    images = len(confidence)
    if groups is None:
        return np.array(
            [
                expected_calibration_error(confidence, generator.random(images) < confidence)
                for _ in range(draws)
            ]
        )
    of_groups = np.zeros((int(groups.max()) + 1, BINS))
    np.add.at(of_groups, (groups, bin_of(confidence)), correct - confidence)
    signs = generator.choice([-1.0, 1.0], size=(draws, len(of_groups)))
    errors: NDArray[np.float64] = np.abs(signs @ of_groups).sum(axis=1) / images
    return errors


def calibration_interval(
    estimate: float, resampled: NDArray[np.float64], calibrated: NDArray[np.float64]
) -> Interval:
    """Return a 95% interval for the expected calibration error.

    Resampling pushes the error up once more, so that percentiles alone would miss the truth below them. The lower end
    is therefore the upper percentile mirrored at the estimate (the basic bootstrap; Davison and Hinkley 1997, section
    5.2), or 0 where a perfectly calibrated network would often do as badly. The upper end is the percentile, which
    errs on the safe side.

    Parameters
    ----------
    estimate : float
        The error on the test images, 0 to 1.
    resampled : ndarray of float64, shape (R,)
        The error on resamples of them.
    calibrated : ndarray of float64, shape (R,)
        From `calibrated_errors`.
    """
    plain = percentile_interval(resampled)
    low = 0.0 if estimate <= np.quantile(calibrated, 0.975) else max(2 * estimate - plain.high, 0.0)
    return Interval(low, max(plain.high, estimate), plain.resamples)
