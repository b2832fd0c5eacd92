"""What today's levels would give for a study that was kept: judged again from the answers of its runs."""

from results_files import Published
from results_words import POINTS

from convtrials.statistics.decide import decide
from convtrials.statistics.design import BASELINE, Design
from convtrials.statistics.result import Decision


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
        f"{one.name} {now.verdict} ({POINTS.signed(now.difference)}, {POINTS.span(now.low, now.high)})"
        for one in study.verdicts.techniques
        if (now := results[one.name]).verdict != one.verdict
    ]
    return (
        f"By today's levels: {'; '.join(changed)}; all others as above."
        if changed
        else "By today's levels: the same verdicts."
    )
