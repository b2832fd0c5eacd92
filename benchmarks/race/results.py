"""Results of a benchmark as plain values: medians, ranges, ratios round by round, and what they were measured on."""

import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.race.race import Row

FORMAT = 1


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, least and greatest."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """Divide round by round, then take the median: what slowed a whole round down is in both.

    Examples
    --------
    >>> ratios([100.0, 50.0, 120.0], [50.0, 20.0, 40.0])
    {'median': 2.5, 'min': 2.0, 'max': 3.0}
    """
    return spread([one / other for one, other in zip(ours, theirs, strict=True)])


def summarise(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return an entry a contestant.

    Returns
    -------
    list of dict
        ``status`` is ``measured`` or ``failed`` (then with ``why``). Measured ones have ``images_per_second`` and,
        where ours of the same group was measured, ``ours_over_this``: each ``median``, ``min`` and ``max`` over the
        rounds.
    """
    ours = {row.contestant.group: _rates(row) for row in rows if row.contestant.reference and not row.why_not}
    return [_entry(row, ours.get(row.contestant.group)) for row in rows]


def _rates(row: Row) -> list[float]:
    return [one["images_per_second"] for one in row.rounds]


def _entry(row: Row, ours: list[float] | None) -> dict[str, Any]:
    contestant = row.contestant
    entry: dict[str, Any] = {
        "name": contestant.name,
        "label": contestant.label,
        "group": contestant.group,
        "processes": contestant.processes,
        "same_network": contestant.same_network,
        "reference": contestant.reference,
        "status": "failed" if row.why_not else "measured",
        "why": row.why_not or None,
        **{key: row.facts.get(key) for key in ("parameters", "choice", "settings", "tried", "versions")},
        "rounds": row.rounds,
    }
    if not row.why_not:
        entry["images_per_second"] = spread(_rates(row))
        if ours is not None:
            entry["ours_over_this"] = ratios(ours, _rates(row))
    return entry


def share_of_peak(entry: dict[str, Any], training_flops: int, peaks: dict[str, float]) -> float | None:
    """Return which share of the machine's peak a contestant's training reaches.

    Parameters
    ----------
    entry : dict
        From `summarise`.
    training_flops : int
        Floating-point operations of training on one image.
    peaks : dict
        From `measure_peaks`; the faster precision counts, or none where it is empty.

    Returns
    -------
    float or None
        From 0 to 1. None for another network, and where nothing was measured.
    """
    if entry["status"] != "measured" or not entry["same_network"] or not peaks:
        return None
    return float(training_flops * entry["images_per_second"]["median"] / max(peaks["bf16"], peaks["fp32"]))
