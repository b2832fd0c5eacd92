"""What one run each would have said: every pair of a technique's run and a baseline's run, against the verdict."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from convtrials.study.schemas import SingleRuns

#: Scores of one arm are sums of the same numbers in another order at worst.
ROUNDING = 1e-12


def pair_differences(technique: Sequence[float], baseline: Sequence[float]) -> NDArray[np.float64]:
    """Return the difference of every pair, technique minus baseline, shape (technique runs, baseline runs)."""
    ours, theirs = np.asarray(technique, np.float64), np.asarray(baseline, np.float64)
    differences: NDArray[np.float64] = ours[:, None] - theirs[None, :]
    return differences


def misleading(
    differences: NDArray[np.float64], *, verdict: str, margin: float, same_recipe: bool = False
) -> NDArray[np.bool_] | None:
    """Return which differences of a pair would have misled; None where the study names no winner itself.

    Parameters
    ----------
    differences : ndarray of float64
        Technique minus baseline, higher is better; any shape.
    verdict, margin, same_recipe
        As in `compare_single_runs`.
    """
    wrong: dict[str, NDArray[np.bool_]] = {
        "better": differences < -ROUNDING,
        "worse": differences > ROUNDING,
        "equivalent": np.abs(differences) > margin + ROUNDING,
    }
    return wrong.get("equivalent" if same_recipe else verdict)


def compare_single_runs(
    technique: Sequence[float],
    baseline: Sequence[float],
    *,
    verdict: str,
    margin: float,
    same_recipe: bool = False,
) -> SingleRuns | None:
    """Compare every run of a technique with every run of the baseline, as a table of one run each would.

    Parameters
    ----------
    technique, baseline : sequence of float
        One score per run, higher is better.
    verdict : str
        The study's own, from all runs; one that may still change counts as none.
    margin : float
        In the scores' unit.
    same_recipe : bool
        The technique is the baseline with other seeds (an A/A trial): there is no winner, whatever the verdict.

    Returns
    -------
    SingleRuns or None
        None where one of the two has no run.
    """
    differences = pair_differences(technique, baseline).ravel()
    if not differences.size:
        return None
    better, worse = int((differences > ROUNDING).sum()), int((differences < -ROUNDING).sum())
    wrong = misleading(differences, verdict=verdict, margin=margin, same_recipe=same_recipe)
    return SingleRuns(
        pairs=differences.size,
        better=better,
        worse=worse,
        equal=differences.size - better - worse,
        beyond_margin=int((np.abs(differences) > margin + ROUNDING).sum()),
        largest=float(np.abs(differences).max()),
        wrong=None if wrong is None else int(wrong.sum()),
    )


def single_runs_sentence(found: Sequence[SingleRuns], margin_text: str) -> str:
    """Say of all techniques together what tables of one run each would have shown; empty where nothing can be said.

    Parameters
    ----------
    found : sequence of SingleRuns
        One per technique.
    margin_text : str
        The margin with its unit: ``1 point``.
    """
    known = [one for one in found if one.wrong is not None]
    if not known:
        return ""
    pairs, wrong = sum(one.pairs for one in known), sum(one.wrong or 0 for one in known)
    if not wrong:
        return f"With one run of each, none of the {pairs:,} possible comparisons would have misled."
    left_out = "" if len(known) == len(found) else " (techniques without a clear answer left out)"
    return (
        f"With one run of each, {wrong:,} of {pairs:,} possible comparisons would have misled{left_out}: the wrong one "
        f"wins, or one wins by more than {margin_text} where there is nothing to win."
    )
