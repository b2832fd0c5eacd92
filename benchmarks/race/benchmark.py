"""The whole benchmark: data, environments, the machine's peak, the race, and the result as plain values."""

import datetime
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.race.contestant import Contestant
from benchmarks.race.errors import BenchError
from benchmarks.race.lineup import count_contestants, our_contestants, peer_contestants
from benchmarks.race.matmul import measure_peaks
from benchmarks.race.network import forward_flops, parameter_count, training_flops
from benchmarks.race.prepare import open_data, write_data
from benchmarks.race.race import ROUND_LIMIT, START_LIMIT, RaceRules, race
from benchmarks.race.results import FORMAT, share_of_peak, summarise
from convtrials.core.log import get_logger
from convtrials.core.process import available_cores
from convtrials.core.progress import Task
from convtrials.training.engine.environment import describe_environment

_log = get_logger("convtrials.race")


@dataclass(frozen=True)
class Wanted:
    """What is to be measured.

    Attributes
    ----------
    environments : Path
        Folder of the peers' environments.
    model : {"alexnet", "vgg11"}
    data : str
        A built-in dataset or a path.
    peers : tuple of str
        From `check_peers`.
    round : dict
        ``{"seconds": 4.0}`` or ``{"steps": 6}``.
    start_limit, round_limit : float
        Seconds after which a contestant counts as hung; see `RaceRules`.
    precision, threads
        For our engine alone: given instead of probed.
    peak_size : int
        Rows of the matrices whose product is timed; 0: not timed.
    """

    environments: Path
    model: str = "alexnet"
    width: float = 1.0
    batch_size: int = 256
    data: str = "glyphs"
    peers: tuple[str, ...] = ()
    rounds: int = 5
    round: dict[str, float] | None = None
    start_limit: float = START_LIMIT
    round_limit: float = ROUND_LIMIT
    precision: str | None = None
    threads: int | None = None
    peak_size: int = 4096

    @property
    def units(self) -> int:
        """Starts and rounds of all contestants."""
        return count_contestants(self.peers) * (1 + self.rounds)


def run_benchmark(wanted: Wanted, task: Task, *, command: str = "") -> dict[str, Any]:
    """Measure everything, and return it as JSON can hold it.

    Parameters
    ----------
    task : Task
        Told what happens; it advances by `Wanted.units` in all.
    command : str
        The command line that asked for it, for the record.

    Raises
    ------
    BenchError, DataError
        The data cannot be had as asked.
    """
    with tempfile.TemporaryDirectory(prefix="convtrials-bench-") as temporary:
        folder = Path(temporary) / "data"
        data = open_data(wanted.data)
        network = write_data(
            folder,
            data,
            model=wanted.model,
            width=wanted.width,
            batch_size=wanted.batch_size,
            files="notebook" in wanted.peers,
        )
        contestants = [
            *our_contestants(folder, wanted.batch_size, precision=wanted.precision, threads=wanted.threads),
            *peer_contestants(
                wanted.peers,
                folder,
                wanted.batch_size,
                wanted.environments,
                show=task.show,
            ),
        ]
        return _measure(wanted, network, data.name, contestants, Path(temporary), task, command)


def _measure(
    wanted: Wanted,
    network: dict[str, Any],
    data_name: str,
    contestants: Sequence[Contestant],
    folder: Path,
    task: Task,
    command: str,
) -> dict[str, Any]:
    began, load = datetime.datetime.now(datetime.UTC), _load()
    if load is not None and load > 0.5:
        _log.info(f"note: this machine has other work (load {load:.1f}): figures will be too low")
    rules = RaceRules(
        wanted.rounds,
        wanted.round or {"seconds": 4.0},
        parameters=parameter_count(network),
        start_limit=wanted.start_limit,
        round_limit=wanted.round_limit,
    )
    peaks = [_peaks(wanted.peak_size, task)]
    rows = race(contestants, rules, folder, task)
    peaks.append(_peaks(wanted.peak_size, task))
    entries = summarise(rows)
    best = _best(peaks)
    for entry in entries:
        entry["share_of_peak"] = share_of_peak(entry, training_flops(network), best)
    return {
        "format": FORMAT,
        "command": command,
        "date": began.isoformat(timespec="seconds"),
        "machine": {
            **describe_environment().to_dict(),
            "usable_cores": available_cores(),
            "load_before": load,
        },
        "setting": {
            "model": wanted.model,
            "width": wanted.width,
            "batch_size": wanted.batch_size,
            "data": data_name,
            "image": network["image"],
            "classes": network["classes"],
            "parameters": rules.parameters,
            "forward_flops": forward_flops(network),
            "training_flops": training_flops(network),
            "rounds": wanted.rounds,
            "round": rules.round,
        },
        "matmul": best,
        "contestants": entries,
    }


def _load() -> float | None:
    """How many cores were busy in the last minute; None where the system does not tell."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


def _peaks(size: int, task: Task) -> dict[str, float]:
    """Measure the machine's peak; without it the rest still counts."""
    if size == 0:
        return {}
    task.show(f"matrix product {size}^3")
    try:
        return measure_peaks(size)
    except BenchError as error:
        _log.info(f"note: {error}")
        return {}


def _best(peaks: Sequence[dict[str, float]]) -> dict[str, float]:
    """Measured before and after the race: the better counts, since other work can only slow it down."""
    found = [one for one in peaks if one]
    return {key: max(one[key] for one in found) for key in found[0]} if found else {}
