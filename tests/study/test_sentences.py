"""Each verdict in a plain sentence."""

from typing import Any

import pytest

from convtrials.statistics.result import Result
from convtrials.study.results.verdict_sentences import sentence


def result(verdict: str, **values: Any) -> Result:
    return Result(verdict, values.pop("final", True), 0, 5, **values)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            result("better", difference=0.012, low=0.008, high=0.016, beyond_margin="all"),
            "gelu is better than the baseline, by 1.20 points (between +0.80 and +1.60), all of it "
            "beyond the margin of "
            "0.50 points.",
        ),
        (
            result("worse", difference=-0.003, low=-0.004, high=-0.002, beyond_margin="none"),
            "gelu is worse than the baseline, by 0.30 points (between −0.40 and −0.20), which is less "
            "than the margin of "
            "0.50 points: real, but too small to matter.",
        ),
        (
            result("equivalent", difference=0.001, low=-0.002, high=0.004),
            "gelu makes no practical difference: between −0.20 and +0.40 points, inside the margin of "
            "0.50 points either way.",
        ),
        (
            result(
                "inconclusive", difference=0.003, low=-0.002, high=0.008, reason="more seeds", more_seeds=7
            ),
            "gelu: not enough evidence (between −0.20 and +0.80 points). About 7 more seeds may settle it "
            "(about an even chance).",
        ),
        (
            result(
                "inconclusive",
                difference=0.003,
                low=-0.002,
                high=0.008,
                reason="test set",
                resolvable=0.004,
                images_needed=40_000,
            ),
            "gelu: not enough evidence (between −0.20 and +0.80 points). The test set cannot resolve differences below "
            "0.40 points: more seeds will not help. About 40,000 test images may settle it (about an even chance).",
        ),
        (
            result(
                "inconclusive", difference=0.003, low=-0.64, high=0.65, reason="more seeds", more_seeds=17
            ),
            "gelu: not enough evidence (an interval wider than 20 points). "
            "About 17 more seeds may settle it (about an even chance).",
        ),
        (
            result(
                "inconclusive",
                difference=0.001,
                low=-0.04,
                high=0.042,
                reason="spread of runs",
                resolvable=0.0,
            ),
            "gelu: not enough evidence (between −4.00 and +4.20 points). No realistic number of seeds would settle it: "
            "runs of one recipe differ too much.",
        ),
        (
            result("inconclusive", difference=0.001, low=-0.006, high=0.007, reason="cannot matter"),
            "gelu: not enough evidence (between −0.60 and +0.70 points). Stopped: whatever the "
            "difference is, it is most "
            "likely too small to matter.",
        ),
        (
            result("better", final=False, difference=0.012, low=0.008, high=0.016, beyond_margin="part"),
            "gelu is better than the baseline, by 1.20 points (between +0.80 and +1.60). So far, and not final.",
        ),
        (
            result("equivalent", difference=0.0, low=-0.001, high=0.001, reason="identical"),
            "gelu: its runs score every test image as the baseline's do; no difference shows here.",
        ),
        (
            result("unstable", reason="diverged"),
            "gelu is unstable: of 5 runs, some diverged (the loss was no longer a number); no other verdict is given.",
        ),
        (
            result("failed", reason="baseline failed"),
            "gelu: no verdict, because runs of the baseline could not be run.",
        ),
        (
            result("inconclusive", final=False),
            "gelu: nothing can be said yet; two runs of it and of the baseline are needed.",
        ),
    ],
)
def test_sentence(given: Result, told: str) -> None:
    assert sentence("gelu", given, "accuracy", 0.005, 5) == told


def test_log_loss_is_told_in_nats() -> None:
    given = result("better", difference=0.02, low=0.01, high=0.03, beyond_margin="part")
    assert "by 0.0200 nats (between +0.0100 and +0.0300)" in sentence("gelu", given, "log_loss", 0.01, 5)


def test_an_interval_of_log_loss_says_which_way_is_better() -> None:
    unclear = result("inconclusive", difference=0.02, low=-0.01, high=0.05, reason="more seeds", more_seeds=2)
    told = sentence("gelu", unclear, "log_loss", 0.01, 5)
    assert told.startswith(
        "gelu: not enough evidence (between −0.0100 and +0.0500 nats of gain). About 2 more"
    )
    equal = result("equivalent", difference=0.001, low=-0.004, high=0.006)
    assert "between −0.0040 and +0.0060 nats of gain, inside the margin" in sentence(
        "gelu", equal, "log_loss", 0.01, 5
    )
