"""Do verdicts keep their promises? Simulated studies with known truth, judged by the product's own statistics.

Prints what the rows say together; with --docs writes them (calibration/rows.csv) and the tables of calibration.md. Ends
with 1 if a promise is broken: errors at most 5% and coverage at least 95%, both within two standard errors of the
simulation. Over-coverage is shown, not hidden. Deterministic, whatever the number of processes.

    python -m benchmarks.calibration [--studies 1000] [--processes 2] [--quick] [--docs docs]
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

# One thread a process; before NumPy starts its own.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from benchmarks.calibration.page import csv_row, summary, write
from benchmarks.calibration.simulated_studies import World, simulate
from benchmarks.calibration.summed_runs import SummedRuns
from benchmarks.calibration.tally import Row, Tally, peer_calls
from convtrials.statistics.decide import replay
from convtrials.statistics.design import Design, looks_for

MARGIN = 0.005
IMAGES = (1_000, 5_000, 15_000)
TECHNIQUES = (1, 5, 15)
SEEDS = (3, 5, 10)
NO_EFFECT = (0.0,) * 15
#: Points; turned round from study to study, so that rows with one technique meet all of them.
EFFECTS = (0.5, 0.25, 1, 0, 2, -0.5, 0.5, 1, 0.25, 0, -0.25, 0.5, 2, 1, 0)


@dataclass(frozen=True)
class Scenario:
    """One kind of simulated study and the rows of the table that it fills.

    `share` is the part of ``--studies`` that it is given.
    """

    name: str
    world: World
    effects: tuple[float, ...] = NO_EFFECT
    images: tuple[int, ...] = (5_000, 15_000)
    techniques: tuple[int, ...] = (5, 15)
    looks: tuple[tuple[int, ...], ...] = (*((n,) for n in SEEDS), looks_for(3, 10))
    writers_known: bool = True
    peers: bool = False
    share: float = 1.0
    # Shows what happens without something that the method needs: not judged.
    contrast: bool = False

    @property
    def most(self) -> int:
        return max(looks[-1] for looks in self.looks)


ALL_LOOKS = (*((n,) for n in SEEDS), looks_for(3, 10), looks_for(3, 20))
VARIED = (0.001, 0.004)
SCENARIOS = (
    Scenario("no effects", World(), NO_EFFECT, IMAGES, TECHNIQUES, ALL_LOOKS, peers=True),
    Scenario("effects", World(), tuple(e / 100 for e in EFFECTS), IMAGES, TECHNIQUES, ALL_LOOKS),
    Scenario("seed SDs 0.1-0.4", World(seed_sd=VARIED), techniques=TECHNIQUES),
    Scenario("one technique unstable", World(unstable=1), techniques=TECHNIQUES),
    Scenario("baseline unstable", World(unstable=0), techniques=TECHNIQUES),
    Scenario("seeds pair", World(pairing=0.7), peers=True),
    Scenario("recipes alike", World(taste_sd=0.1)),
    Scenario("log loss", World(loss=True), images=(5_000,)),
    Scenario("writers", World(writer_share=0.15, images_a_writer=25), images=(1_000, 5_000)),
    Scenario(
        "writers unknown",
        World(writer_share=0.15, images_a_writer=25),
        images=(5_000,),
        looks=((5,),),
        writers_known=False,
        contrast=True,
        share=0.5,
    ),
)


def one_study(scenario: Scenario, number: int) -> Tally:
    """Simulate study `number` of a scenario and judge it in all the scenario's rows."""
    generator = np.random.Generator(np.random.Philox(key=[number, SCENARIOS.index(scenario)]))
    effects = np.roll(scenario.effects, number)
    study = simulate(scenario.world, effects, scenario.most, max(scenario.images), generator)
    truth = study.truth[1:] - study.truth[0]
    tally = Tally()
    for images in scenario.images:
        runs = SummedRuns(study, images, scenario.writers_known)
        for techniques in scenario.techniques:
            runs.choose(range(1, techniques + 1))
            for looks in scenario.looks:
                row = Row(scenario.name, looks, images, techniques)
                decision = replay(runs, Design(MARGIN, looks))
                tally.add(row, list(decision.results.values()), truth[:techniques], MARGIN)
                if scenario.peers and len(looks) == 1:
                    tally.add_peers(row, peer_calls(runs, looks[0]))
    return tally


def some_studies(scenario: Scenario, numbers: range) -> Tally:
    tally = Tally()
    for number in numbers:
        tally.merge(one_study(scenario, number))
    return tally


def all_tallies(studies: int, processes: int) -> Iterator[tuple[Scenario, Tally]]:
    """Simulate every scenario; the work is cut into pieces that do not depend on the number of processes."""
    with ProcessPoolExecutor(processes) as pool:
        for scenario in SCENARIOS:
            count = max(1, round(studies * scenario.share))
            pieces = [range(start, min(start + 20, count)) for start in range(0, count, 20)]
            tally = Tally()
            begun = time.monotonic()
            for done, piece in enumerate(pool.map(partial(some_studies, scenario), pieces), start=1):
                tally.merge(piece)
                if sys.stderr.isatty():
                    print(f"\r{scenario.name}: {done}/{len(pieces)} ", end="", file=sys.stderr)
            print(
                f"{scenario.name}: {count} studies, {time.monotonic() - begun:.0f} s",
                file=sys.stderr,
                flush=True,
            )
            yield scenario, tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=1000, help="simulated studies a scenario")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument(
        "--quick",
        action="store_true",
        help="100 studies a scenario: a smoke test, whose PASS and FAIL mean little",
    )
    parser.add_argument("--docs", type=Path, help="write the rows and the tables of the page in this folder")
    given = parser.parse_args()
    studies = 100 if given.quick else given.studies
    rows: list[dict[str, str]] = []
    for scenario, tally in all_tallies(studies, given.processes):
        rows += map(csv_row, tally.rows(scenario.contrast))
    print(summary(rows))
    if given.docs:
        write(given.docs, rows)
    return 1 if any(row["judged"] == "FAIL" for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
