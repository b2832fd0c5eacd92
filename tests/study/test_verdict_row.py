"""One row says what a technique's verdict is, in numbers and as page, terminal and Markdown write it."""

from dataclasses import fields

from convtrials.statistics.result import Result
from convtrials.study.results.verdict_row import ranked, row_without_result, verdict_rows
from convtrials.study.schemas import (
    BaselineVerdict,
    Costs,
    StudyWarning,
    TechniqueCost,
    TechniqueVerdict,
    Verdicts,
)


def verdicts(*techniques: TechniqueVerdict, **more: object) -> Verdicts:
    known = {"plan": "", "complete": True, "metric": "accuracy", "margin": 0.01, "alpha": 0.05}
    counts = {"test_images": 9, "test_units": 9, "baseline": BaselineVerdict(name="baseline")}
    return Verdicts(**{**known, **counts, "techniques": techniques, **more})


WIDE = TechniqueVerdict(
    name="wide", verdict="inconclusive", final=True, seeds=3, difference=-0.01, low=-0.64, high=0.62,
    p_adjusted=0.5, probability_better=0.444, status=("finished", "finished", "diverged"), sentence="Too wide.",
)  # fmt: skip
CLEAR = TechniqueVerdict(
    name="clear", verdict="better", final=True, seeds=3, difference=0.02, low=0.015, high=0.025,
    fixed_low=0.016, fixed_high=0.024, p_adjusted=0.0001, beyond_margin="all",
)  # fmt: skip


def test_a_row_is_written_one_way() -> None:
    cost = TechniqueCost(name="clear", cost_ratio=1.1, cost_ratio_interval=(0.9, 1.3))
    warning = StudyWarning(kind="at_chance", arm="wide", text="…", mark="1 of 3 runs")
    wide, clear = verdict_rows(verdicts(WIDE, CLEAR, warnings=(warning,)), Costs(techniques=(cost,)))
    assert (wide.gain, wide.interval, wide.p_written, wide.cost_written) == (
        "−1.00",
        "wider than 20 points",
        "0.500",
        "–",
    )
    assert (wide.wins_written, wide.seeds_written, wide.mark, str(wide)) == (
        "44%",
        "3 (1 lost)",
        "1 of 3 runs",
        "Too wide.",
    )
    assert (clear.gain, clear.interval, clear.fixed_interval) == ("+2.00", "+1.50 to +2.50", "+1.60 to +2.40")
    assert (clear.p_written, clear.cost_written, clear.mark) == ("< 0.001", "1.10× ?", "")
    assert [row.name for row in ranked([wide, clear])] == ["clear", "wide"]


def test_log_loss_has_no_interval_that_is_too_wide() -> None:
    [row] = verdict_rows(verdicts(WIDE, metric="log_loss"), Costs())
    assert row.interval == "−0.6400 to +0.6200"


def test_a_technique_without_a_result_has_a_row() -> None:
    row = row_without_result("later", "accuracy")
    assert (row.waiting, row.gain, row.interval, row.seeds_written) == (True, "–", "–", "0")
    assert ranked([row, *verdict_rows(verdicts(WIDE), Costs())])[-1] == row


def test_verdicts_json_keeps_all_that_the_statistics_say() -> None:
    assert {field.name for field in fields(Result)} <= set(TechniqueVerdict.model_fields)


def test_names_of_keys_are_read_both_ways() -> None:
    numbers = {"macro_f1": 0.5}
    written = CLEAR.model_copy(
        update={"secondary_metrics": numbers, "secondary_differences": numbers}
    ).to_dict()
    assert written["also"] == written["also_difference"] == numbers
    new = {key: value for key, value in written.items() if not key.startswith("also")}
    new |= {"secondary_metrics": numbers, "secondary_differences": numbers}
    for document in (written, new):
        read = TechniqueVerdict.model_validate(document, strict=False)
        assert read.secondary_metrics == read.secondary_differences == numbers
