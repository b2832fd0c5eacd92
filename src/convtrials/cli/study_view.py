"""What a study looks like in a terminal: every run, the verdicts so far, the time left."""

from typing import TYPE_CHECKING, Any

from convtrials.cli.answer_table import Answer, AnswerTable, Column, verdict_text
from convtrials.core.formatting import Scale, confidence, rough_duration
from convtrials.study.results.metrics import scale_of, verdict_metric

if TYPE_CHECKING:
    from rich.console import Console, Group

    from convtrials.study.execute.executor import RunEnd
    from convtrials.study.schemas import Costs, Verdicts
    from convtrials.study.status import RunState, StudyState

#: One sign a run, so that a row shows all seeds of an arm.
SIGNS = {
    "finished": ("■", "green"),
    "diverged": ("◆", "magenta"),
    "failed": ("✗", "red"),
    "running": ("▶", "cyan"),
    "stopped": ("‖", "yellow"),
    "queued": ("·", "dim"),
}

#: Seconds between two lines about the whole study where the output is no terminal.
LOG_INTERVAL = 60.0


def study_table(state: "StudyState") -> "Group":
    """Return the whole view of a study as it stands."""
    from rich.console import Group
    from rich.text import Text

    scale = scale_of(state.plan.spec.metric)
    arms = [(arm.name, [run for run in state.runs if run.arm == arm.name]) for arm in state.plan.arms]
    table = AnswerTable(
        scale,
        confidence(state.plan.spec.alpha),
        left=[
            Column("arm", [Text(name) for name, _ in arms], folds=True),
            Column("runs", [_signs(runs) for _, runs in arms], folds=True),
            Column("mean", [_mean(state, runs) for _, runs in arms], justify="right"),
        ],
        answers=[_answer_so_far(state, name, scale) for name, _ in arms],
    )
    lines: list[Any] = [table, Text("")]
    lines += [_running(run) for run in state.runs if run.state == "running"]
    lines += _not_learned(state)
    lines.append(_summary(state))
    return Group(*lines)


def _signs(runs: "list[RunState]") -> Any:
    from rich.text import Text

    text = Text()
    for run in runs:
        sign, style = SIGNS.get(run.state, ("?", "dim"))
        text.append(sign, style=style)
    return text


def _mean(state: "StudyState", runs: "list[RunState]") -> str:
    scores = [run.score for run in runs if run.score is not None]
    return _score(state, sum(scores) / len(scores)) if scores else ""


def _score(state: "StudyState", value: float) -> str:
    metric = verdict_metric(state.plan.spec.metric)
    return metric.scale.score(metric.as_reported(value))


def _answer_so_far(state: "StudyState", name: str, scale: Scale) -> Answer:
    from rich.text import Text

    result = state.decision.results.get(name)
    if result is None:
        return Answer(Text(""))
    if result.difference is None:
        waits = result.verdict == "inconclusive"
        return Answer(
            Text("not enough runs yet", style="dim") if waits else verdict_text(result.verdict, result.final)
        )
    gain, interval = scale.signed(result.difference), scale.span(result.low, result.high)
    return Answer(verdict_text(result.verdict, result.final), gain, interval)


def _running(run: "RunState") -> Any:
    from rich.text import Text

    filled = round(20 * run.share)
    text = Text(f"{run.arm}, seed {run.seed}  ")
    text.append("━" * filled, style="cyan")
    text.append("━" * (20 - filled), style="dim")
    text.append(f" {run.share:4.0%}")
    if run.images_per_second:
        text.append(f"  {run.images_per_second:,.0f} images/s", style="dim")
    if run.val_accuracy is not None:
        text.append(f"  val {run.val_accuracy:.1%}", style="dim")
    return text


def _not_learned(state: "StudyState") -> list[Any]:
    """Name the arms with finished runs that are no better than guessing: no need to wait for the end to stop them."""
    from rich.text import Text

    lines = []
    for arm in state.plan.arms:
        finished = [run for run in state.runs if run.arm == arm.name and run.state == "finished"]
        not_learned = sum(not run.learned for run in finished)
        if not_learned:
            runs = f"{len(finished)} finished run{'' if len(finished) == 1 else 's'}"
            counted = f"{not_learned} of {runs} {'is' if not_learned == 1 else 'are'}"
            lines.append(Text(f"warning: {arm.name}: {counted} no better than guessing", style="yellow"))
    return lines


def _summary(state: "StudyState") -> Any:
    from rich.text import Text

    return Text(summary_line(state), style="bold")


def summary_line(state: "StudyState") -> str:
    """Say in one line how far a study is."""
    ended, total = state.count("finished", "diverged", "failed"), len(state.runs)
    parts = [f"{ended} of {total} runs"]
    for name in ("running", "stopped", "diverged", "failed"):
        if state.count(name):
            parts.append(f"{state.count(name)} {name}")
    if state.decision.complete:
        parts.append("complete")
    elif state.seconds_left is not None:
        left = f"about {rough_duration(state.seconds_left)} left"
        most = state.most_seconds_left
        if most is not None and most > state.seconds_left + 1:
            left += f" to the next look, at most {rough_duration(most)} in all"
        parts.append(left)
    return " · ".join(parts)


def verdict_table(verdicts: "Verdicts", costs: "Costs") -> AnswerTable:
    """Return the table of verdicts that ends a study."""
    from rich.text import Text

    from convtrials.study.results.verdict_row import verdict_rows

    rows = verdict_rows(verdicts, costs)
    note = "cost ?: may equal the baseline's; runs of one arm differ by as much"
    return AnswerTable(
        scale_of(verdicts.metric),
        verdicts.level,
        left=[Column("technique", [Text(row.name) for row in rows], folds=True)],
        answers=[Answer(verdict_text(row.word, row.final), row.gain, row.interval) for row in rows],
        right=[
            Column("seeds", [str(row.seeds) for row in rows], justify="right"),
            Column("cost", [row.cost_written for row in rows], justify="right"),
        ],
        note=note if any(row.cost_written.endswith("?") for row in rows) else "",
    )


class LiveView:
    """Shows a study while it runs: a table that renews itself on a terminal, log lines elsewhere."""

    def __init__(self, console: "Console") -> None:
        from rich.live import Live

        self._console = console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._last_line = float("-inf")

    def __enter__(self) -> "LiveView":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, state: "StudyState", ended: "list[RunEnd]") -> None:
        """Show how the study stands, and a line for each run that has ended."""
        import time

        if self._live is not None:
            self._live.update(study_table(state), refresh=True)
        for end in ended:
            self._print_end(state, end)
        now = time.monotonic()
        if self._live is None and now - self._last_line >= LOG_INTERVAL:
            self._last_line = now
            self._print(summary_line(state))

    def _print_end(self, state: "StudyState", end: "RunEnd") -> None:
        from convtrials.study.schemas import Failures

        arm = state.plan.arm(end.task.arm)
        name = f"{arm.name}, seed {arm.seed_offset + end.task.position}"
        if end.how == "failed":
            self._print(f"{name}: failed: {Failures(errors=(end.error,)).reason}")
        elif self._live is None and end.how in ("finished", "diverged"):
            seed = arm.seed_offset + end.task.position
            run = next((one for one in state.runs if (one.arm, one.seed) == (arm.name, seed)), None)
            scored = f"  {_score(state, run.score)}" if run is not None and run.score is not None else ""
            took = f" in {rough_duration(run.seconds)}" if run is not None and run.seconds is not None else ""
            self._print(f"{name}: {end.how}{took}{scored}  ({summary_line(state)})")

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)
