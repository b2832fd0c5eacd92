"""Would the verdicts of a study that was kept read otherwise today? Judged anew from the answers of its runs."""

from results_files import Published

from convtrials.study.statistics.decision import BASELINE, Design, decide


def rejudged(study: Published) -> str:
    """Name the techniques whose verdict today's statistics would change, with their intervals.

    Only for accuracy on images that are sampled one by one: that is what the kept answers tell.
    """
    scores = {
        arm: [(run == study.labels).astype(float) for run in study.answers_of(arm)]
        for arm in study.how["arms"]
    }
    design = Design(study.how["margin"], tuple(study.how["looks"]))
    results = decide(scores.pop(BASELINE), scores, design).results
    changed = [
        f"{one['name']} {now.verdict} ({100 * now.difference:+.2f}, {100 * now.low:+.2f} to {100 * now.high:+.2f})"
        for one in study.verdicts["techniques"]
        if (now := results[one["name"]]).verdict != one["verdict"]
        and now.difference is not None
        and now.low is not None
        and now.high is not None
    ]
    return (
        f"Judged anew today: {'; '.join(changed)}; all others as above."
        if changed
        else "Judged anew: the same."
    )
