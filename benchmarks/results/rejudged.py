"""Would the verdicts of a study that was kept read otherwise today? Judged anew from the answers of its runs."""

from benchmarks.results.files import Published
from benchmarks.results.words import difference_span, points
from convtrials.statistics.decision import BASELINE, Decision, Design, decide


def judge(study: Published) -> Decision:
    """Return what today's statistics say of the kept answers, by the study's own plan.

    Only for accuracy on images that are sampled one by one: that is what the kept answers tell.
    """
    scores = {arm: study.scores_of(arm) for arm in study.how["arms"]}
    design = Design(study.how["margin"], tuple(study.how["looks"]), study.verdicts.alpha)
    return decide(scores.pop(BASELINE), scores, design)


def rejudged(study: Published) -> str:
    """Name the techniques whose verdict today's statistics would change, with their intervals."""
    results = judge(study).results
    changed = [
        f"{one.name} {now.verdict} ({points(now.difference)}, {difference_span(now.low, now.high)})"
        for one in study.verdicts.techniques
        if (now := results[one.name]).verdict != one.verdict
    ]
    return (
        f"Judged anew today: {'; '.join(changed)}; all others as above."
        if changed
        else "Judged anew: the same."
    )
