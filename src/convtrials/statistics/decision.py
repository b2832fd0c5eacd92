"""Verdicts of a study from the scores of its runs: the door to the statistics."""

from collections.abc import Mapping, Sequence

from convtrials.statistics.design import BASELINE, DIVERGED, FAILED, Design, Lost, RunScores, looks_for
from convtrials.statistics.replay import replay
from convtrials.statistics.result import Decision, Result
from convtrials.statistics.runs import ScoredRuns

__all__ = [
    "BASELINE",
    "DIVERGED",
    "FAILED",
    "Decision",
    "Design",
    "Lost",
    "Result",
    "RunScores",
    "decide",
    "looks_for",
]


def decide(
    baseline: Sequence[RunScores], techniques: Mapping[str, Sequence[RunScores]], design: Design
) -> Decision:
    """Return the verdicts that the runs so far give.

    Parameters
    ----------
    baseline : sequence of ndarray of float64, shape (N,), or Lost
        ``baseline[k]``: scores of the run with the k-th seed on every test image, higher is better, or why it has
        none. The runs that have ended, from the first seed on without a gap; what goes beyond a look is ignored.
    techniques : mapping of str to such sequences
        The same for each technique.
    design : Design
        The study's rules.

    Raises
    ------
    StudyError
        Runs do not have the same number of images, or a score is not finite.

    Notes
    -----
    The method, its derivation and what was simulated stand in ``docs/statistics.md``.
    """
    return replay(ScoredRuns(baseline, techniques, design.units), design)
