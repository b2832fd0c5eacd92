"""Would the verdicts of a study that was kept read otherwise today? Judged anew from the answers of its runs."""

from results_files import Published
from results_words import difference_span, points

from convtrials.study.statistics.decision import BASELINE, Design, decide


def rejudged(study: Published) -> str:
    """Name the techniques whose verdict today's statistics would change, with their intervals.

    Only for accuracy on images that are sampled one by one: that is what the kept answers tell.
    """
    scores = {arm: list((study.answers_of(arm) == study.labels).astype(float)) for arm in study.how["arms"]}
    design = Design(study.how["margin"], tuple(study.how["looks"]), study.verdicts["alpha"])
    results = decide(scores.pop(BASELINE), scores, design).results
    changed = [
        f"{one['name']} {now.verdict} ({points(now.difference)}, {difference_span(now.low, now.high)})"
        for one in study.verdicts["techniques"]
        if (now := results[one["name"]]).verdict != one["verdict"]
    ]
    return (
        f"Judged anew today: {'; '.join(changed)}; all others as above."
        if changed
        else "Judged anew: the same."
    )
