"""A study's looks, one after the other: who is settled, who goes on, and how many seeds that needs.

A look waits for all arms that are still open and for the baseline; then it uses their first n runs, no others. So its
answer never depends on the order in which runs happen to end. A technique that stops keeps the runs it stopped with;
its spread still counts in the pool of later looks.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from convtrials.statistics.design import BASELINE, DIVERGED, Design, NoScores, RunScores
from convtrials.statistics.error_rates import (
    adjusted,
    image_share,
    information,
    levels,
    shared_correlation,
    shared_level,
)
from convtrials.statistics.interval import Comparison, compare
from convtrials.statistics.judge import Stage, judge, judge_identical
from convtrials.statistics.moments import Moments, Runs, ScoredRuns
from convtrials.statistics.result import INCONCLUSIVE, Decision, Result
from convtrials.statistics.spread import spread_of


def decide(
    baseline: Sequence[RunScores], techniques: Mapping[str, Sequence[RunScores]], design: Design
) -> Decision:
    """Return the verdicts that the runs so far give.

    Parameters
    ----------
    baseline : sequence of ndarray of float64, shape (N,), or NoScores
        ``baseline[k]``: scores of the run with the k-th seed on every test image, higher is better, or why it has
        none. The runs that have ended, from the first seed on without a gap; what goes beyond a look is ignored.
    techniques : mapping of str to such sequences
        The same for each technique.
    design : Design
        The study's rules.

    Raises
    ------
    StudyError
        Runs do not have the same number of images, or a score is not finite.

    Notes
    -----
    The method, its derivation and what was simulated stand in ``docs/statistics.md``.
    """
    return replay(ScoredRuns(baseline, techniques, design.units), design)


def replay(runs: Runs, design: Design) -> Decision:
    """Return the verdicts that the runs so far give."""
    study = _Study(runs, design)
    needed = dict.fromkeys((BASELINE, *runs.techniques), design.looks[0])
    for look, seeds in enumerate(design.looks):
        waiting = (BASELINE, *study.open)
        needed |= dict.fromkeys(waiting, seeds)
        if not study.open or any(runs.ended(arm) < seeds for arm in waiting):
            break
        study.look(look, seeds)
        if not study.open:
            break
    if any(name not in study.results for name in runs.techniques):
        study.preliminary()
    results = {name: study.results[name] for name in runs.techniques}
    return Decision(complete=not study.open, needed=needed, results=results)


@dataclass
class _Study:
    runs: Runs
    design: Design
    results: dict[str, Result] = field(default_factory=dict)
    #: Of the first look, kept: the correlation between techniques, and each technique's levels at all looks.
    correlation: float = 0.0
    levels: dict[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def open(self) -> tuple[str, ...]:
        return tuple(n for n in self.runs.techniques if n not in self.results or not self.results[n].final)

    @property
    def fixed_level(self) -> float:
        return shared_level(self.design.alpha, len(self.runs.techniques), self.correlation)

    def look(self, look: int, seeds: int) -> None:
        """Judge the open techniques at a look that all of them have reached."""
        used = dict.fromkeys((BASELINE, *self.open), seeds)
        sound = self._settle_without_scores(used, look)
        if seeds < 2:
            self._too_few(sound, look, seeds)
        elif sound:
            self._judge(sound, used, look)

    def preliminary(self) -> None:
        """Say what the runs so far would say, for those that have not reached the first look."""
        used = {arm: min(self.runs.ended(arm), self.design.looks[0]) for arm in (BASELINE, *self.open)}
        sound = self._settle_without_scores(used, None)
        for name in [name for name in sound if min(used[name], used[BASELINE]) < 2]:
            self._too_few([name], None, used[name])
            sound.remove(name)
        if sound:
            self._judge(sound, used, None)

    def _settle_without_scores(self, used: dict[str, int], look: int | None) -> list[str]:
        """Settle the techniques that a lost run leaves without a verdict; return the others."""
        sound = []
        of_baseline = self.runs.failure(BASELINE, used[BASELINE])
        for name in self.open:
            of_technique = self.runs.failure(name, used[name])
            if of_technique or of_baseline:
                self.results[name] = self._no_verdict(name, used, look, of_technique, of_baseline)
            else:
                sound.append(name)
        return sound

    def _no_verdict(
        self,
        name: str,
        used: dict[str, int],
        look: int | None,
        own: NoScores | None,
        baselines: NoScores | None,
    ) -> Result:
        why = own or baselines or DIVERGED
        means = self.runs.mean(name, used[name]), self.runs.mean(BASELINE, used[BASELINE])
        return Result(
            verdict="unstable" if why is DIVERGED else "failed",
            final=look is not None,
            look=look,
            seeds=used[name],
            # Of the runs that finished; no interval, because it would leave out what went wrong.
            difference=None if means[0] is None or means[1] is None else means[0] - means[1],
            reason=why.value if own else f"baseline {why.value}",
        )

    def _too_few(self, names: Iterable[str], look: int | None, seeds: int) -> None:
        final = look is not None and seeds == self.design.looks[-1]
        for name in names:
            self.results[name] = Result(INCONCLUSIVE, final, look, seeds, reason="more seeds")

    def _judge(self, names: list[str], used: dict[str, int], look: int | None) -> None:
        stopped = {
            name: result for name, result in self.results.items() if result.low is not None and result.final
        }
        sums = self.runs.moments(
            {BASELINE: used[BASELINE]}
            | {name: used[name] for name in names}
            | {name: result.seeds for name, result in stopped.items()}
        )
        spread = spread_of(sums.between, sums.noise, sums.seeds)
        compared = {name: compare(sums, spread, number) for number, name in enumerate(names, start=1)}
        if not self.levels or look is None:
            self.correlation = shared_correlation(sums, spread, list(compared.values()))
        for number, (name, now) in enumerate(compared.items(), start=1):
            result = self._result(name, now, sums, number, look)
            self.results[name] = replace(
                result,
                own_variance=bool(spread.own[number]),
                seed_sd=float(sums.between[number] ** 0.5),
            )
        self._adjust(names, stopped)

    def _result(self, name: str, now: Comparison, sums: Moments, number: int, look: int | None) -> Result:
        seeds, margin = int(sums.seeds[number]), self.design.margin
        if look is None:
            stage = Stage(None, seeds, self.design.looks[-1], *[self.fixed_level] * 3)
        else:
            if name not in self.levels:
                share = image_share(now, seeds) if now.known else 0.0
                fractions = information(self.design.looks, share)
                self.levels[name] = levels(fractions, self.fixed_level, self.design.alpha)
            level = self.levels[name]
            stage = Stage(look, seeds, self.design.looks[-1], level[look], level[-1], self.fixed_level)
        if sums.identical[number]:
            return judge_identical(0.0, stage, margin, sums.units)
        if not now.known:
            return judge_identical(now.difference, stage, margin, sums.units)
        return judge(now, stage, margin, sums.images)

    def _adjust(self, names: list[str], stopped: dict[str, Result]) -> None:
        """Adjust p-values for the number of techniques; those without one count as 1."""
        p_values = {name: 1.0 for name in self.runs.techniques}
        for name in (*stopped, *names):
            p_value = self.results[name].p_value
            p_values[name] = 1.0 if p_value is None else p_value
        together = dict(zip(p_values, adjusted(list(p_values.values()), self.correlation), strict=True))
        for name in names:
            self.results[name] = replace(self.results[name], p_adjusted=together[name])
