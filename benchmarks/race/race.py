"""The race: contestants train in turn, round after round, so that whatever else the machine does hits all alike."""

import contextlib
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.race.contestant import Contestant, ContestantError, ContestantProcess
from benchmarks.race.peers.protocol import FEWEST_STEPS
from convtrials.core.log import get_logger
from convtrials.core.progress import Task

_log = get_logger("convtrials.race")

#: Seconds until a contestant must be ready: compilation and trials of its settings are in it.
START_LIMIT = 900.0

#: Seconds that a round may take beyond its length.
ROUND_LIMIT = 120.0

#: Steps may take so many times what the first ones took: another program may want the machine for a while.
_SLOWER = 10

#: Seconds of quiet before a round: the one before may still be fetching its next images.
SETTLE_SECONDS = 0.3


@dataclass
class Row:
    """What is known of a contestant, and what it has done.

    Attributes
    ----------
    facts : dict
        What it said when it was ready: parameters, choice, versions.
    rounds : list of dict
        An entry a round: ``images_per_second`` (of all its processes together), ``cpu_seconds``, ``images``,
        ``seconds`` and ``loss``.
    why_not : str
        Why it is out, or empty.
    """

    contestant: Contestant
    facts: dict[str, Any] = field(default_factory=dict)
    rounds: list[dict[str, Any]] = field(default_factory=list)
    why_not: str = ""
    processes: list[ContestantProcess] = field(default_factory=list)

    def out(self, why: str) -> None:
        """Take it out of the race."""
        self.why_not = why
        for process in self.processes:
            process.kill()
        self.processes.clear()


@dataclass(frozen=True)
class RaceRules:
    """How long a round is, and how long one waits.

    Attributes
    ----------
    round : dict
        What a contestant is asked: ``{"seconds": 4.0}`` or ``{"steps": 6}``.
    parameters : int or None
        What every network must have; None: not checked.
    start_limit : float
        Seconds until a contestant must be ready.
    round_limit : float
        Seconds that a round may take beyond its length.
    settle_seconds : float
        Of quiet before a round.
    """

    rounds: int
    round: dict[str, float]
    parameters: int | None = None
    start_limit: float = START_LIMIT
    round_limit: float = ROUND_LIMIT
    settle_seconds: float = SETTLE_SECONDS

    def patience(self, step_seconds: float) -> float:
        """Return the seconds to wait for the answer of a round, where the first steps took so long each."""
        steps = self.round.get("steps", FEWEST_STEPS)
        return self.round_limit + self.round.get("seconds", 0) + _SLOWER * steps * step_seconds


def race(
    contestants: Sequence[Contestant],
    rules: RaceRules,
    folder: Path,
    task: Task,
) -> list[Row]:
    """Start all, let them train in turn, and end them, whatever happens.

    Parameters
    ----------
    folder : Path
        For what they write; removed by whoever made it.
    task : Task
        Shows what happens; it advances by one for each start and each round.

    Returns
    -------
    list of Row
        In the order of `contestants`.
    """
    rows = [Row(contestant) for contestant in contestants]
    with _ended(rows):
        for row in rows:
            task.show(f"{row.contestant.label}: starting")
            _start(row, rules, folder)
            _log.info(f"{row.contestant.label}: {row.why_not or row.facts['choice']}")
            task.advance()
        for number in range(rules.rounds):
            for row in in_turn(rows, number):
                if not row.why_not:
                    task.show(f"round {number + 1}: {row.contestant.label}")
                    time.sleep(rules.settle_seconds)
                    problem = _run_round(row, rules, number + 1)
                    if problem:
                        _log.info(f"{row.contestant.label}: {problem}")
                task.advance()
    return rows


def in_turn(rows: Sequence[Row], number: int) -> list[Row]:
    """Return who trains when in a round: another begins each time, and every other round goes backwards.

    So nobody always follows the same neighbour, whose last images may still be being fetched.
    """
    count = len(rows)
    step = 1 if number % 2 == 0 else -1
    return [rows[(number + step * place) % count] for place in range(count)]


@contextlib.contextmanager
def _ended(rows: list[Row]) -> Iterator[None]:
    try:
        yield
    finally:
        for row in rows:
            for process in row.processes:
                process.kill()
            row.processes.clear()


def _start(row: Row, rules: RaceRules, folder: Path) -> None:
    """Start its processes, one after the other: later ones take the settings that the first has found."""
    contestant = row.contestant
    if contestant.missing:
        return row.out(contestant.missing)
    try:
        for number in range(contestant.processes):
            command = contestant.command
            if number > 0 and row.facts.get("settings"):
                command = (*command, "--settings", json.dumps(row.facts["settings"]))
            process = ContestantProcess(
                command, contestant.threads, folder / f"{contestant.name}-{number}", own=contestant.own
            )
            row.processes.append(process)
            facts = process.answer(rules.start_limit, "while starting")
            if number == 0:
                row.facts = {"parameters": None, "choice": "", **facts}
    except ContestantError as error:
        return row.out(str(error))
    count = row.facts["parameters"]
    if contestant.same_network and rules.parameters is not None and count != rules.parameters:
        row.out(f"trains another network: {count} parameters instead of {rules.parameters}")
    return None


def _run_round(row: Row, rules: RaceRules, number: int) -> str:
    """Let all processes of a contestant begin at the same moment, wait for them, and say what went wrong."""
    for process in row.processes:
        process.ask(rules.round)
    seconds = rules.patience(_step_seconds(row.facts))
    try:
        answers = [process.answer(seconds, f"in round {number}") for process in row.processes]
        row.rounds.append(_together(answers))
    except ContestantError as error:
        row.out(str(error))
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        row.out(f"its answer to a round cannot be used: {str(answers)[:120]}")
    return row.why_not


def _step_seconds(facts: dict[str, Any]) -> float:
    """Return how long a step took before it was ready, as far as it says so."""
    said = facts.get("step_seconds")
    return said if isinstance(said, int | float) and 0 <= said < math.inf else 0.0


def _together(answers: list[dict[str, Any]]) -> dict[str, Any]:
    """Add up the processes of a contestant; each has its own clock."""
    rates = [float(one["images"]) / float(one["seconds"]) for one in answers]
    losses = [float(one["loss"]) for one in answers if one.get("loss") is not None]
    if not all(math.isfinite(value) and value > 0 for value in rates):
        raise ValueError(rates)
    return {
        "images_per_second": sum(rates),
        "images": sum(int(one["images"]) for one in answers),
        "seconds": max(float(one["seconds"]) for one in answers),
        "cpu_seconds": sum(float(one["cpu_seconds"]) for one in answers),
        "loss": max(losses) if losses else None,
    }
