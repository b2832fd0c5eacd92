"""The scheduler: ask for the runs that the next look needs, until every technique has its verdict."""

from collections import Counter
from collections.abc import Callable, Sequence

from convtrials.core.errors import Interrupted, StudyError
from convtrials.core.files import remove_file
from convtrials.core.log import get_logger
from convtrials.core.process import StopRequest
from convtrials.statistics.result import Decision
from convtrials.study.directory import StudyDirectory
from convtrials.study.execute.executor import Executor, RunEnd, RunTask
from convtrials.study.execute.run_trainer import drop_weights
from convtrials.study.plan.plan import Plan
from convtrials.study.results.scores import Outcomes
from convtrials.study.status import StudyState, read_status
from convtrials.training.run_directory import Run

_log = get_logger(__name__)

#: A run that fails is tried so many times in all by one command.
ATTEMPTS = 2

#: Seconds between two looks at what other processes are doing.
TICK = 1.0


class _Retries:
    """Which of the needed runs may begin: a failed one once more, a locked one when its lock is free."""

    def __init__(self, study: StudyDirectory, plan: Plan) -> None:
        self._study, self._plan = study, plan
        self._failed: Counter[RunTask] = Counter()
        self._locked: set[RunTask] = set()

    def reset_failures(self) -> None:
        """Try again what an earlier command gave up: its cause may be gone."""
        for arm in self._plan.arms:
            for position in range(self._plan.spec.most):
                run = self._study.run(arm, position)
                failures = self._study.failures(run)
                if failures.given_up and not run.finished:
                    self._study.write_failures(run, failures.model_copy(update={"given_up": False}))

    def wanted(self, decision: Decision, busy: Sequence[RunTask]) -> list[RunTask]:
        """Return runs to start, all arms' first seeds before any second: verdicts come early that way."""
        tasks = []
        for position in range(max(decision.needed.values(), default=0)):
            for arm in self._plan.arms:
                task = RunTask(arm.name, position)
                if position >= decision.needed[arm.name] or task in busy:
                    continue
                run = self._study.run(arm, position)
                if run.finished or self._study.failures(run).given_up:
                    continue
                if task in self._locked and run.locked:
                    continue
                if self._failed[task] >= ATTEMPTS:
                    self._mark_failed(run)
                    continue
                self._locked.discard(task)
                tasks.append(task)
        return tasks

    def _mark_failed(self, run: Run) -> None:
        """Give a run up again, after another process took that back and went away without trying."""
        if not run.locked:
            self._study.write_failures(run, self._study.failures(run).model_copy(update={"given_up": True}))

    def note(self, end: RunEnd) -> None:
        """Remember how a run ended."""
        if end.how == "locked":
            self._locked.add(end.task)
        if end.how == "failed":
            self._failed[end.task] += 1
            run = self._study.run(self._plan.arm(end.task.arm), end.task.position)
            failures = self._study.failures(run)
            given_up = self._failed[end.task] >= ATTEMPTS
            self._study.write_failures(run, failures.with_error(end.error, given_up=given_up))


def run_to_end(
    study: StudyDirectory,
    plan: Plan,
    outcomes: Outcomes,
    executor: Executor,
    show: Callable[[StudyState, list[RunEnd]], None],
    *,
    workers: int,
) -> Decision:
    """Train the runs that each look needs until every technique has its verdict.

    Parameters
    ----------
    show : callable
        Gets, about once a second, how the study stands and which runs have ended since.
    workers : int
        Runs at a time, for the estimate of the time left.

    Returns
    -------
    Decision
        Complete.

    Raises
    ------
    Interrupted
        After Ctrl-C or SIGTERM; unfinished runs have checkpoints.
    """
    retries = _Retries(study, plan)
    retries.reset_failures()
    warned: set[str] = set()
    with study.running(), study.session() as session, StopRequest().listening() as stop:
        if study.plan.fingerprint != plan.fingerprint:
            raise StudyError(f"{study.folder}: another process has changed the plan; run the study again")
        try:
            while True:
                state = read_status(study, plan, outcomes, workers)
                wanted = retries.wanted(state.decision, executor.busy)
                show(state, [])
                if not wanted and not executor.busy and state.decision.complete:
                    return state.decision
                ended = executor.advance(wanted, TICK)
                for end in ended:
                    retries.note(end)
                    _warn(end.notes, warned)
                if ended:
                    show(read_status(study, plan, outcomes, workers), ended)
                session.beat()
                if stop.times or any(end.how == "stopped" for end in ended):
                    raise Interrupted(f"stopped; the same command goes on with {study.folder}")
        finally:
            executor.stop(hurry=lambda: stop.times > 1)
            _tidy(study, plan)


def _warn(notes: Sequence[str], warned: set[str]) -> None:
    """Show what executors say about runs; of several workers that say the same, once."""
    for note in notes:
        if note not in warned:
            warned.add(note)
            _log.warning(note)


def _tidy(study: StudyDirectory, plan: Plan) -> None:
    """Remove what a killed worker left: weights that are not kept, checkpoints of finished runs, notes of progress."""
    for arm in plan.arms:
        for position in range(plan.spec.most):
            run = study.run(arm, position)
            if run.finished:
                drop_weights(plan, run, position)
                remove_file(run.checkpoint_path)
                remove_file(study.live_path(run))
