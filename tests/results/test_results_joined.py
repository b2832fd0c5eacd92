"""Parts of a study, kept apart, say together what the whole says."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.results.files import Published, read_published
from benchmarks.results.joined import joined
from benchmarks.results.pictures import pictures
from convtrials.core.errors import ConvtrialsError
from convtrials.study.schemas import BaselineVerdict, TechniqueVerdict


@pytest.fixture
def whole(kept_long: Path) -> Published:
    study = read_published(kept_long)
    assert {one.name: one.seeds for one in study.verdicts.techniques} == {"good": 2, "near": 3}
    return study


def part(study: Published, seeds: range) -> Published:
    """Return what would have been kept of some seeds, less all that a verdict over them would say."""
    own = [int(run["seed"]) in seeds for run in study.runs]
    runs = [{**run, "used_in_verdict": "false"} for run, kept in zip(study.runs, own, strict=True) if kept]
    known = study.verdicts
    unknown = {"verdict": "inconclusive", "final": False}
    blank = known.model_copy(
        update={
            "complete": False,
            "baseline": BaselineVerdict(name=known.baseline.name, slug=known.baseline.slug),
            "techniques": tuple(
                TechniqueVerdict(name=one.name, slug=one.slug, **unknown) for one in known.techniques
            ),
        }
    )
    arms = {name: arm for name, arm in study.how["arms"].items() if any(run["arm"] == name for run in runs)}
    return replace(
        study,
        how={**study.how, "arms": arms},
        verdicts=blank,
        runs=runs,
        arms=study.arms[own],
        seeds=study.seeds[own],
        answers=study.answers[own],
    )


def test_the_parts_say_what_the_whole_says(whole: Published) -> None:
    found = joined(part(whole, range(2)), part(whole, range(2, 3)))
    told = {one.name: one for one in whole.verdicts.techniques}
    for one in found.verdicts.techniques:
        for key in ("verdict", "final", "look", "seeds", "difference", "low", "high", "p_adjusted", "mean"):
            assert getattr(one, key) == pytest.approx(getattr(told[one.name], key)), key
        assert one.scores == pytest.approx(told[one.name].scores)
        assert one.run_seeds == told[one.name].run_seeds
        assert one.mean_interval == pytest.approx(told[one.name].mean_interval)
    assert found.verdicts.complete == whole.verdicts.complete
    assert found.verdicts.baseline.seeds == whole.verdicts.baseline.seeds
    assert found.verdicts.baseline.mean == pytest.approx(whole.verdicts.baseline.mean)


def test_the_runs_of_both_are_told(whole: Published) -> None:
    found = joined(part(whole, range(2)), part(whole, range(2, 3)))
    assert found.seeds_of("near") == 3
    assert found.seeds_of("good") == 2
    assert len(found.answers) == len(found.runs) == len(whole.runs)
    assert found.costs.total.runs == 2 * whole.costs.total.runs  # each part keeps the whole's costs here


def test_a_cost_is_over_the_seeds_that_the_technique_has(whole: Published) -> None:
    first, more = part(whole, range(2)), part(whole, range(2, 3))
    slow = {"baseline": 30.0, "near": 60.0}
    more = replace(more, runs=[{**run, "cpu_seconds": str(slow[run["arm"]])} for run in more.runs])
    first = replace(
        first, runs=[{**run, "cpu_seconds": "15" if run["arm"] == "good" else "10"} for run in first.runs]
    )
    costs = {one.name: one.cost_ratio for one in joined(first, more).costs.techniques}
    assert costs == {"good": pytest.approx(1.5), "near": pytest.approx(80 / 50)}


def test_pictures_of_kept_studies_show_every_technique(whole: Published, tmp_path: Path) -> None:
    study = joined(part(whole, range(2)), part(whole, range(2, 3)))
    forest, cost = pictures(study)
    assert [row[0] for row in forest.rows] == ["good", "near"]
    ratios = {one.name: one.cost_ratio for one in study.costs.techniques}
    assert {row[0]: row[1] for row in cost.rows} == ratios
    assert all(picture.save(tmp_path).stat().st_size > 1000 for picture in (forest, cost))


def test_what_is_no_part_of_the_study_is_refused(whole: Published) -> None:
    first, more = part(whole, range(2)), part(whole, range(2, 3))
    with pytest.raises(ConvtrialsError, match=r"seeds of baseline are \[0, 1, 0, 1\]"):
        joined(first, first)
    with pytest.raises(ConvtrialsError, match="the test images is not the same"):
        joined(first, replace(more, labels=np.roll(more.labels, 1)))
    other = json.loads(json.dumps(more.how))
    other["arms"]["near"]["recipe"]["epochs"] = 99
    with pytest.raises(ConvtrialsError, match="the recipe of near"):
        joined(first, replace(more, how=other))
    with pytest.raises(ConvtrialsError, match="the execution"):
        joined(first, replace(more, how={**more.how, "execution": {"precision": "bf16"}}))


def test_a_run_beyond_a_technique_s_verdict_is_kept_and_not_used(whole: Published) -> None:
    """Another process may have trained one more seed before the verdict was known."""
    first, more = part(whole, range(2)), part(whole, range(2, 3))
    row = int(np.flatnonzero(more.arms == "near")[0])
    extra = replace(
        more,
        how={**more.how, "arms": whole.how["arms"]},
        runs=[*more.runs, {**more.runs[row], "arm": "good"}],
        arms=np.array([*more.arms.tolist(), "good"]),
        seeds=np.append(more.seeds, more.seeds[row]),
        answers=np.vstack([more.answers, more.answers[row]]),
    )
    found = joined(first, extra)
    assert [run["used_in_verdict"] for run in found.runs if run["arm"] == "good"] == ["true", "true", "false"]
    assert next(one for one in found.verdicts.techniques if one.name == "good").seeds == 2


def test_lost_and_misplaced_runs_are_refused(whole: Published) -> None:
    first, more = part(whole, range(2)), part(whole, range(2, 3))
    lost = [{**run, "status": "diverged"} if run["arm"] == "near" else run for run in more.runs]
    with pytest.raises(ConvtrialsError, match="near, seed 2 is diverged"):
        joined(first, replace(more, runs=lost))
    with pytest.raises(ConvtrialsError, match="in another order"):
        joined(replace(first, seeds=first.seeds[::-1].copy()), more)
