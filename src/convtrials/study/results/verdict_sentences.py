"""One plain sentence for every verdict."""

from convtrials.core.formatting import Scale
from convtrials.statistics.result import Result
from convtrials.study.results.metrics import scale_of

#: What is said of the seeds or images that would settle it if the difference stayed: it moves, in either direction.
MAY_SETTLE = "may settle it (about an even chance)"


def sentence(name: str, result: Result, metric: str, margin: float, runs: int) -> str:
    """Say what a study found about one technique, for a reader without statistics.

    Parameters
    ----------
    name : str
        The technique.
    metric : str
        The study's.
    margin : float
        In the metric's unit.
    runs : int
        Of the technique, ended.
    """
    if result.verdict == "failed" or result.verdict == "unstable":
        return _lost(name, result, runs)
    if result.difference is None or result.low is None or result.high is None:
        return f"{name}: nothing can be said yet; two runs of it and of the baseline are needed."
    if result.reason == "identical":
        return f"{name}: its runs score every test image as the baseline's do; no difference shows here."
    scale = scale_of(metric)
    size = scale.sized(abs(result.difference))
    unit = f" {scale.unit}{' of gain' if scale.lower_is_better else ''}"  # the loss itself goes the other way
    between = f"between {scale.signed(result.low)} and {scale.signed(result.high)}"
    tentative = "" if result.final else " So far, and not final."
    if result.verdict in ("better", "worse"):
        matters = {
            "all": f", all of it beyond the margin of {scale.sized(margin)}",
            "part": "",
            "none": f", which is less than the margin of {scale.sized(margin)}: real, but too small to matter",
        }[result.beyond_margin or "part"]
        return f"{name} is {result.verdict} than the baseline, by {size} ({between}){matters}.{tentative}"
    if result.verdict == "equivalent":
        return (
            f"{name} makes no practical difference: {between}{unit}, inside the margin of {scale.sized(margin)}"
            f" either way.{tentative}"
        )
    if scale.too_wide(result.low, result.high):
        between, unit = f"an interval {scale.too_wide_text}", ""
    return f"{name}: not enough evidence ({between}{unit}). {_what_would_settle(result, scale)}{tentative}"


def _what_would_settle(result: Result, scale: Scale) -> str:
    if result.reason == "spread of runs":
        return "No realistic number of seeds would settle it: runs of one recipe differ too much."
    if result.reason == "test set" and result.resolvable is not None:
        images = f" About {result.images_needed:,} test images {MAY_SETTLE}." if result.images_needed else ""
        return (
            f"The test set cannot resolve differences below {scale.sized(result.resolvable)}: more seeds will not "
            f"help.{images}"
        )
    if result.reason == "cannot matter":
        return "Stopped: whatever the difference is, it is most likely too small to matter."
    if result.more_seeds:
        return f"About {result.more_seeds:,} more seed{'s' if result.more_seeds != 1 else ''} {MAY_SETTLE}."
    return "More seeds may settle it."


def _lost(name: str, result: Result, runs: int) -> str:
    reason = result.reason or result.verdict
    if reason.startswith("baseline"):
        what = "diverged" if reason.endswith("diverged") else "could not be run"
        return f"{name}: no verdict, because runs of the baseline {what}."
    what = "diverged (the loss was no longer a number)" if reason == "diverged" else "could not be run"
    return f"{name} is {result.verdict}: of {runs} runs, some {what}; no other verdict is given."
