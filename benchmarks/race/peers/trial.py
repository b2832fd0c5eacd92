"""A short trial of one way to train: which of several is the fastest here."""

import statistics
import time


class Trial:
    """Times some steps.

    Parameters
    ----------
    steps_each : int
        Steps between two calls of `after_step`.
    hopeless : float
        Seconds a step after which the trial is given up, such as twice those of the best so far.
    """

    fewest, least_seconds = 4, 2.0

    def __init__(self, steps_each: int = 1, hopeless: float = float("inf")) -> None:
        self.steps_each, self.hopeless = steps_each, hopeless
        self._ends: list[float] = []

    def after_step(self) -> bool:
        """Count what has been trained since the last call; True when that is enough."""
        self._ends.append(time.perf_counter())
        timed = len(self._ends) - 1  # the first compiles and warms up
        if timed == 0:
            return False
        enough = (
            timed * self.steps_each >= self.fewest and self._ends[-1] - self._ends[0] >= self.least_seconds
        )
        return enough or self.step_seconds > self.hopeless

    @property
    def step_seconds(self) -> float:
        """The median seconds of a step."""
        each = [later - earlier for earlier, later in zip(self._ends, self._ends[1:], strict=False)]
        return statistics.median(each) / self.steps_each
