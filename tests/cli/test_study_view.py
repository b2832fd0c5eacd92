"""What a study looks like in a terminal, and in a log."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from convtrials.cli.study_view import LiveView, study_table, summary_line, verdict_table
from convtrials.study.arms import build_arms
from convtrials.study.executor import RunEnd, RunTask
from convtrials.study.plan import Plan
from convtrials.study.statistics.result import Decision, Result
from convtrials.study.study_file import StudySpec
from convtrials.study.survey import RunState, StudyState
from convtrials.training.recipe import Recipe


def state(metric: str = "accuracy", final: bool = False) -> StudyState:
    arms = build_arms(Recipe(), {"cosine [x]": {"schedule": "cosine"}}, most_seeds=3)
    plan = Plan(StudySpec(tuple(arms), fewest=3, most=3, metric=metric), "data")
    result = Result("better", final, 0, 3, difference=0.0123, low=0.005, high=0.02)
    runs = [
        RunState("baseline", 0, "finished", 1.0, score=0.9, seconds=60.0),
        RunState("baseline", 1, "running", 0.5, images_per_second=1234.0, val_accuracy=0.87),
        RunState("baseline", 2, "waiting"),
        RunState("cosine [x]", 0, "diverged", 1.0),
        RunState("cosine [x]", 1, "failed", errors=("boom",)),
        RunState("cosine [x]", 2, "paused", 0.3),
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
    assert "better  +1.23 (+0.50 to +2.00) preliminary" in rows["cosine [x]"]
    assert "baseline, seed 1  " in text
    assert "50%  1,234 images/s  val 87.0%" in text
    assert "3 of 6 runs · 1 running · 1 paused · 1 diverged · 1 failed" in text
    assert "about 2 min left to the next look, at most 2.0 h in all" in text


def test_a_log_loss_is_shown_as_people_know_it() -> None:
    text = drawn(study_table(state("log_loss", final=True)))
    assert "better  +0.0123 (+0.0050 to +0.0200)" in text
    assert "-0.9000" in text  # oriented scores are minus the loss; this one was fabricated positive
    assert "preliminary" not in text


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


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_last_table_fits_the_terminal(width: int) -> None:
    one = {
        "name": "a technique with a long name that has to be folded",
        "verdict": "better",
        "final": True,
        "difference": 0.01,
        "low": 0.002,
        "high": 0.018,
        "status": ["finished"] * 3,
    }
    lost = {**one, "name": "lost", "verdict": "unstable", "difference": None, "low": None, "high": None}
    document = {"metric": "accuracy", "alpha": 0.05, "techniques": [one, lost]}
    text = drawn(verdict_table(document, {"techniques": [{"name": "lost", "cost_ratio": 1.5}]}), width)
    assert max(map(len, text.splitlines())) <= width
    assert "+1.00" in text
    assert "× 1.50" in text
    assert "unstable" in text


def test_bad_studies_are_told_by_the_command(tmp_path: Path) -> None:
    from convtrials.cli.study import status
    from convtrials.core.errors import StudyError

    with pytest.raises(StudyError, match="not a study directory"):
        status(tmp_path, follow=False)
