"""What the test predictions of an arm's runs say together, read a run at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convtrials.core.errors import StudyError
from convtrials.evaluation.curves import macro_roc, roc_curves
from convtrials.evaluation.evaluate import confusion_matrix
from convtrials.evaluation.predictions import Predictions
from convtrials.reports.study.record import StudyArm, StudyRun


@dataclass(frozen=True, eq=False)
class ArmPredictions:
    """Sums over the R finished runs of an arm, K classes.

    Attributes
    ----------
    runs : int
        R, at least 1.
    support : ndarray of int64, shape (K,)
        Test images of each class.
    confusion : ndarray of float64, shape (K, K)
        Mean number of images by true class (rows) and answer (columns).
    confusion_variance : ndarray of float64, shape (K, K)
        Variance over runs; zeros for a single run.
    f1 : ndarray of float64, shape (R, K)
        F1 of each class in each run, 0 to 1; NaN for a class without test images.
    false_rates : ndarray of float64, shape (P,)
        Where the ROC curves are given.
    true_rates : ndarray of float64, shape (R, P)
        Each run's macro ROC curve there; no columns where no class can be ranked.
    areas : ndarray of float64, shape (R,)
        Under each run's macro ROC curve.
    """

    arm: StudyArm
    runs: int
    support: NDArray[np.int64]
    confusion: NDArray[np.float64]
    confusion_variance: NDArray[np.float64]
    f1: NDArray[np.float64]
    false_rates: NDArray[np.float64]
    true_rates: NDArray[np.float64]
    areas: NDArray[np.float64]


class TestImages:
    """Remembers which test images the first run classified, and refuses runs that classified others."""

    __test__ = False  # pytest takes the name for a test

    def __init__(self) -> None:
        self._first: tuple[StudyRun, NDArray[np.int64], NDArray[np.int64]] | None = None

    def check(self, run: StudyRun, found: Predictions) -> None:
        """Raise `StudyError` where `found` is not about the images of the first run checked."""
        if self._first is None:
            self._first = (run, found.labels, found.indices)
            return
        first, labels, indices = self._first
        if not (np.array_equal(labels, found.labels) and np.array_equal(indices, found.indices)):
            raise StudyError(
                f"{run.run.predictions_path}: other test images or labels than in {first.run.folder}; "
                "the runs of a study share one test split"
            )


def gather_predictions(
    arm: StudyArm, class_names: Sequence[str], images: TestImages, *, curves: bool
) -> ArmPredictions | None:
    """Read the predictions of every finished run of an arm, one at a time.

    Parameters
    ----------
    images : TestImages
        Shared by all arms of the study.
    curves : bool
        Compute ROC curves as well: the slow part.

    Returns
    -------
    ArmPredictions or None
        None where no run has finished.

    Raises
    ------
    RunError, StudyError
        Where a predictions file is missing, damaged, or not its run's own, or does not fit the study.
    """
    tables, f1, rocs = [], [], []
    support = np.zeros(len(class_names), dtype=np.int64)
    for run in arm.finished:
        found = run.run.read_predictions()
        if found.probabilities.shape[1] != len(class_names):
            raise StudyError(
                f"{run.run.predictions_path}: {found.probabilities.shape[1]} classes, "
                f"dataset.json has {len(class_names)}"
            )
        images.check(run, found)
        table = confusion_matrix(found.labels, found.predicted, len(class_names))
        support = table.sum(axis=1)
        tables.append(table.astype(np.float64))
        f1.append(_f1(table))
        one_a_class = roc_curves(found.probabilities, found.labels, class_names) if curves else []
        if one_a_class:
            rocs.append(macro_roc(one_a_class))
    if not tables:
        return None
    stack = np.array(tables)
    return ArmPredictions(
        arm=arm,
        runs=len(tables),
        support=support,
        confusion=stack.mean(axis=0),
        confusion_variance=stack.var(axis=0, ddof=1) if len(tables) > 1 else np.zeros_like(stack[0]),
        f1=np.array(f1),
        # All macro curves share one grid.
        false_rates=rocs[0].x if rocs else np.empty(0),
        true_rates=np.array([curve.y for curve in rocs]).reshape(len(tables), -1),
        areas=np.array([curve.area for curve in rocs]),
    )


def _f1(table: NDArray[np.int64]) -> NDArray[np.float64]:
    support, claims = table.sum(axis=1), table.sum(axis=0)
    f1: NDArray[np.float64] = 2 * np.diag(table) / np.maximum(support + claims, 1)
    return np.where(support > 0, f1, np.nan)
