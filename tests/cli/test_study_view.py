"""What a study looks like in a terminal, and in a log."""

import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from convtrials.cli.study_view import LiveView, study_table, summary_line, verdict_table
from convtrials.reports.style import VERDICT_COLOURS
from convtrials.statistics.result import Decision, Result
from convtrials.study.execute.executor import RunEnd, RunTask
from convtrials.study.plan.arms import build_arms
from convtrials.study.plan.plan import Plan
from convtrials.study.plan.spec import StudySpec
from convtrials.study.results.metrics import scale_of
from convtrials.study.schemas import BaselineVerdict, Costs, TechniqueCost, TechniqueVerdict, Verdicts
from convtrials.study.status import RunState, StudyState
from convtrials.training.recipe.recipe import Recipe


def state(metric: str = "accuracy", final: bool = False) -> StudyState:
    arms = build_arms(Recipe(), {"cosine [x]": {"schedule": "cosine"}}, most_seeds=3)
    plan = Plan(StudySpec(arms=tuple(arms), seeds=3, metric=metric, margin=0.005), "data")
    result = Result("better", final, 0, 3, difference=0.0123, low=0.005, high=0.02)
    runs = [
        RunState("baseline", 0, "finished", 1.0, score=0.9, seconds=60.0),
        RunState("baseline", 1, "running", 0.5, images_per_second=1234.0, val_accuracy=0.87),
        RunState("baseline", 2, "queued"),
        RunState("cosine [x]", 0, "diverged", 1.0),
        RunState("cosine [x]", 1, "failed", errors=("boom",)),
        RunState("cosine [x]", 2, "stopped", 0.3),
    ]
    decision = Decision(final, {"baseline": 3, "cosine [x]": 3}, {"cosine [x]": result})
    return StudyState(plan, decision, runs, 2, 150.0, 7200.0)


def drawn(thing: Any, width: int = 100) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, force_terminal=False).print(thing)
    return stream.getvalue()


def test_every_run_is_in_the_table() -> None:
    text = drawn(study_table(state()), width=160)
    rows = {line.split("  ")[0]: line for line in text.splitlines()}
    assert "■▶·" in rows["baseline"]
    assert "◆✗‖" in rows["cosine [x]"]  # the name is no markup
    assert "90.00%" in rows["baseline"]
    assert rows["cosine [x]"].split()[-6:] == ["so", "far", "+1.23", "+0.50", "to", "+2.00"]
    assert "baseline, seed 1  " in text
    assert "50%  1,234 images/s  val 87.0%" in text
    assert "3 of 6 runs · 1 running · 1 stopped · 1 diverged · 1 failed" in text
    assert "about 2 min left to the next look, at most 2.0 h in all" in text


def test_a_log_loss_is_shown_as_people_know_it() -> None:
    text = drawn(study_table(state("log_loss", final=True)))
    assert "better      +0.0123  +0.0050 to +0.0200" in text
    assert "gain: log loss below the baseline's; above 0 is better" in text
    assert "-0.9000" in text  # oriented scores are minus the loss; this one was fabricated positive
    assert "so far" not in text


def test_off_a_terminal_lines_are_written() -> None:
    stream = io.StringIO()
    with LiveView(Console(file=stream, width=200)) as view:
        view(state(), [])
        view(state(), [RunEnd(RunTask("baseline", 0), "finished")])
        view(
            state(), [RunEnd(RunTask("cosine [x]", 1), "failed", "Traceback\n  ...\nValueError: boom [red]")]
        )
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3  # the line about the whole study comes once a minute
    assert lines[0] == summary_line(state())
    assert lines[1].startswith("baseline, seed 0: finished in 60 s  90.00%  (3 of 6 runs")
    assert lines[2] == "cosine [x], seed 1: failed: ValueError: boom [red]"


def test_on_a_terminal_the_view_is_renewed() -> None:
    stream = io.StringIO()
    with LiveView(Console(file=stream, width=100, force_terminal=True)) as view:
        view(state(), [])
        view(state(final=True), [])
    assert stream.getvalue().count("cosine") >= 2


def technique(
    name: str, verdict: Any, low: float | None, high: float | None, final: bool = True
) -> TechniqueVerdict:
    """Return what ``verdicts.json`` says of a technique, as far as the table asks."""
    middle = None if low is None or high is None else (low + high) / 2
    return TechniqueVerdict(
        name=name, verdict=verdict, difference=middle, low=low, high=high, final=final, seeds=3
    )


def document(*techniques: TechniqueVerdict, metric: Any = "accuracy") -> Verdicts:
    return Verdicts(
        plan="", complete=True, metric=metric, margin=0.01, alpha=0.05, test_images=9, test_units=9,
        baseline=BaselineVerdict(name="baseline"), techniques=techniques,
    )  # fmt: skip


def costs_of(*ratios: tuple[str, float | None, tuple[float, float] | None]) -> Costs:
    return Costs(
        techniques=tuple(
            TechniqueCost(name=name, cost_ratio=ratio, cost_ratio_interval=interval)
            for name, ratio, interval in ratios
        )
    )


LONG = "a technique with a long name that has to be folded"
ANSWERS = (
    technique(LONG, "better", 0.002, 0.018),
    technique("accumulation", "worse", -0.2709, -0.1151),
    technique("optimizer.weight_decay: 0.0005", "equivalent", -0.004, 0.004),
    technique(LONG + " too", "inconclusive", -0.0313, 0.0399, final=False),
    technique("hopeless", "inconclusive", -0.64, 0.65, final=False),
    technique("lost", "unstable", None, None),
    technique("broken", "failed", None, None),
)
COSTS = costs_of(("accumulation", 12.5, None), ("lost", None, None))


def test_the_last_table_in_eighty_columns() -> None:
    shown = document(ANSWERS[0], *(one for one in ANSWERS[1:] if one.final))
    assert [line.rstrip() for line in drawn(verdict_table(shown, COSTS), 80).splitlines()] == [
        "technique              verdict     gain, points      95% interval  seeds    cost",
        "a technique with a     better             +1.00    +0.20 to +1.80      3       –",
        "long name that has to",
        "be folded",
        "accumulation           worse             −19.30  −27.09 to −11.51      3  12.50×",
        "optimizer.weight_deca  equivalent          0.00    −0.40 to +0.40      3       –",
        "y: 0.0005",
        "lost                   unstable               –                 –      3       –",
        "broken                 failed                 –                 –      3       –",
        "gain: accuracy above the baseline's; above 0 is better",
    ]


def test_the_last_table_in_sixty_columns() -> None:
    text = drawn(verdict_table(document(*ANSWERS[3:6]), COSTS), 60)
    assert [line.rstrip() for line in text.splitlines()] == [
        "technique         verdict, gain in points (95%)  seeds  cost",
        "a technique with  inconclusive so far                3     –",
        "a long name that  +0.43 (−3.13 to +3.99)",
        "has to be folded",
        "too",
        "hopeless          inconclusive so far                3     –",
        "                  +0.50 (wider than 20 points)",
        "lost              unstable                           3     –",
        "gain: accuracy above the baseline's; above 0 is better",
    ]


def whole(text: str, width: int, numbers: list[str]) -> None:
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in text
    for number in numbers:
        assert any(number in line for line in lines), f"{number!r} is broken in\n{text}"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_number_of_the_last_table_is_broken(width: int) -> None:
    text = drawn(verdict_table(document(*ANSWERS), COSTS), width)
    intervals = [
        "+0.20 to +1.80",
        "−27.09 to −11.51",
        "−0.40 to +0.40",
        "−3.13 to +3.99",
        "wider than 20 points",
    ]
    whole(text, width, [*intervals, "+1.00", "−19.30", "0.00", "+0.43", "+0.50", "12.50×"])
    whole(text, width, ["better", "worse", "equivalent", "inconclusive so far", "unstable", "failed"])
    assert "gain: accuracy above the baseline's; above 0 is better" in text
    assert "64.00" not in text  # an interval that says nothing is told in words, as everywhere


@pytest.mark.parametrize("width", [60, 80])
def test_no_number_of_a_log_loss_is_broken(width: int) -> None:
    told = document(technique(LONG, "inconclusive", -0.1234, 12.5678, final=False), metric="log_loss")
    whole(
        drawn(verdict_table(told, COSTS), width),
        width,
        ["−0.1234 to +12.5678", "+6.2222", "gain in nats" if width == 60 else "gain, nats"],
    )


@pytest.mark.parametrize("width", [60, 80])
@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_no_number_of_a_status_is_broken(metric: str, width: int) -> None:
    """Many seeds and long names fold; numbers do not."""
    arms = build_arms(Recipe(), {LONG: {"schedule": "cosine"}, "gelu": {"activation": "gelu"}}, most_seeds=20)
    plan = Plan(StudySpec(arms=tuple(arms), seeds=(3, 20), metric=metric, margin=0.005), "data")
    runs = [RunState(arm.name, seed, "finished", 1.0, score=0.9) for arm in arms for seed in range(20)]
    results = {
        LONG: Result("inconclusive", False, 0, 3, difference=-0.193, low=-0.2709, high=-0.1151),
        "gelu": Result("unstable", True, 0, 3, difference=0.01, reason="diverged"),
    }
    needed = dict.fromkeys([arm.name for arm in arms], 20)
    now = StudyState(plan, Decision(False, needed, results), runs, 2, 150.0, 7200.0)
    told = {
        "accuracy": ["−19.30", "−27.09 to −11.51", "90.00%"],
        "log_loss": ["−0.1930", "−0.2709 to −0.1151"],
    }
    text = drawn(study_table(now), width)
    whole(text, width, [*told[metric], "inconclusive so far", "unstable"])
    assert text.count("■") == 60


def test_a_cost_that_may_be_chance_is_marked_and_explained() -> None:
    shown = document(
        technique("early stopping", "equivalent", -0.001, 0.001), technique("vgg", "worse", -0.02, -0.01)
    )
    costs = (("early stopping", 0.9, (0.78, 1.04)), ("vgg", 1.6, (1.5, 1.7)))
    text = drawn(verdict_table(shown, costs_of(*costs)), 80)
    assert "0.90× ?" in text
    assert "1.60×" in text
    assert "1.60× ?" not in text
    assert text.splitlines()[-1].startswith("cost ?: may equal the baseline's")
    assert "cost ?" not in drawn(verdict_table(shown, costs_of(costs[1])), 80)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([key for key in VERDICT_COLOURS if key != "waiting"]),
            st.floats(-9, 9),
            st.floats(0, 9),
            st.booleans(),
        ),
        min_size=1,
    ),
    st.text("abc: ,", min_size=1, max_size=60),
    st.sampled_from(["accuracy", "log_loss"]),
    st.integers(60, 140),
)
def test_no_width_breaks_a_number(
    told: list[tuple[str, float, float, bool]], name: str, metric: str, width: int
) -> None:
    scale = scale_of(metric)
    shown = [technique(name, verdict, low, low + more, final) for verdict, low, more, final in told]
    costs = costs_of((name, 12.345, (0.5, 300.0)))
    numbers = [scale.span(one.low, one.high) for one in shown]
    whole(drawn(verdict_table(document(*shown, metric=metric), costs), width), width, [*numbers, "12.35× ?"])


def test_bad_studies_are_told_by_the_command(tmp_path: Path) -> None:
    from convtrials.cli.study import status
    from convtrials.core.errors import StudyError

    with pytest.raises(StudyError, match="not a study directory"):
        status(tmp_path, follow=False)
