"""Latencies of several functions, taken in turns, so that what else the machine does hits all alike."""

import time
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

import numpy as np

Key = TypeVar("Key", bound=Hashable)

#: Calls of one function in one round, at least; before them it is warmed up.
FEWEST_CALLS = 2

#: Part of a turn's seconds that warming up takes: idle threads of the function before must fall asleep.
_WARM_UP = 0.25


def take_turns(
    calls: Mapping[Key, Callable[[], object]],
    *,
    rounds: int,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
    after_turn: Callable[[Key], None] = lambda key: None,
) -> dict[Key, list[list[float]]]:
    """Time functions round by round.

    Parameters
    ----------
    calls : mapping
        From a key to what is timed.
    rounds : int
        Turns of each function; every round begins with another one.
    seconds : float
        That one turn takes, warming up not counted; at least `FEWEST_CALLS` calls are made.
    clock : callable
        Seconds.
    after_turn : callable
        Gets the name whose turn is over.

    Returns
    -------
    dict
        For each key, a list of latencies in seconds a round.
    """
    keys = list(calls)
    found: dict[Key, list[list[float]]] = {key: [] for key in keys}
    for turn in range(rounds):
        first = turn % max(1, len(keys))
        for key in keys[first:] + keys[:first]:
            found[key].append(_turn(calls[key], seconds, clock))
            after_turn(key)
    return found


def _turn(call: Callable[[], object], seconds: float, clock: Callable[[], float]) -> list[float]:
    now = started = clock()
    while now == started or now - started < _WARM_UP * seconds:
        call()
        now = clock()
    latencies: list[float] = []
    started = now
    while len(latencies) < FEWEST_CALLS or now - started < seconds:
        before = clock()
        call()
        now = clock()
        latencies.append(now - before)
    return latencies


def summarise_latencies(rounds: list[list[float]], batch_size: int) -> dict[str, Any]:
    """Return percentiles and throughput of one function, as plain values for JSON.

    Parameters
    ----------
    rounds : list of list of float
        From `take_turns`.
    batch_size : int
        Images per call.

    Returns
    -------
    dict
        ``p50_ms, p95_ms, p99_ms`` over all calls, interpolated; ``images_per_second`` over the whole time;
        ``calls``; ``p50_ms_by_round``, whose spread shows how quiet the machine was.
    """
    latencies = np.concatenate([np.asarray(one) for one in rounds])
    p50, p95, p99 = (float(value) for value in 1e3 * np.percentile(latencies, [50, 95, 99]))
    return {
        "p50_ms": p50,
        "p95_ms": p95,
        "p99_ms": p99,
        "images_per_second": batch_size * len(latencies) / float(latencies.sum()),
        "calls": len(latencies),
        "p50_ms_by_round": [1e3 * float(np.median(one)) for one in rounds],
    }
