"""docs/results.md is what docs/results/ says."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.results import ceiling as results_ceiling
from benchmarks.results import page as results_page
from benchmarks.results.compute import runs_saved, seeds_of
from benchmarks.results.pictures import pictures
from convtrials.core.errors import ConvtrialsError
from convtrials.core.files import write_json
from convtrials.study.published_study import PublishedStudy

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def study(kept: Path, monkeypatch: pytest.MonkeyPatch) -> PublishedStudy:
    monkeypatch.setattr(results_ceiling, "CHARACTER_GROUPS", (("0", "O"), ("1", "I")))
    return PublishedStudy.read(kept)


def test_the_page_is_what_the_files_say() -> None:
    page = (DOCS / "results.md").read_text(encoding="utf-8")
    assert results_page.MARK.search(page)
    assert results_page.rewritten(page, DOCS / "results") == page


def test_the_answers_give_the_scores_of_the_verdicts(study: PublishedStudy) -> None:
    for one in study.verdicts.arms:
        found = (study.answers_of(one.name) == study.labels).mean(axis=1)
        assert found.tolist() == pytest.approx(one.scores)
        low, high = one.mean_interval or (0, 0)
        assert low < (one.mean or 0) < high


def test_the_verdict_table_has_every_arm_and_the_largest_difference_first(study: PublishedStudy) -> None:
    lines = results_page.verdicts(study).splitlines()
    assert lines[2].startswith("| good | +")
    assert "**better**" in lines[2]
    assert lines[-1].startswith("| *baseline* |")
    assert len(lines) == 2 + 3


def test_the_answers_judged_again_give_the_verdicts(study: PublishedStudy) -> None:
    assert results_page.rejudged(study) == "By today's levels: the same verdicts."
    good, other = study.verdicts.techniques
    changed = study.verdicts.model_copy(
        update={"techniques": (good.model_copy(update={"verdict": "worse"}), other)}
    )
    assert results_page.rejudged(replace(study, verdicts=changed)).startswith(
        "By today's levels: good better (+"
    )


def test_what_stopping_saved_is_counted(study: PublishedStudy) -> None:
    told = results_page.spent(study)
    used = sum(seeds_of(study, arm.name) for arm in study.plan.arms)
    assert study.verdicts.complete
    assert f"{9 - used} of 9 possible runs" in told
    assert "2 techniques" in told


def test_other_tables_name_their_arms(study: PublishedStudy) -> None:
    assert "| early stopping | 2 | 2, 2" in results_page.stopping(study)
    assert "| good |" in results_page.levels(study)
    assert "0/O" in results_ceiling.groups(study)
    assert "0 → O" in results_ceiling.pairs(study)


def test_errors_inside_groups_are_a_half(study: PublishedStudy) -> None:
    # A wrong answer is the next class: O for 0, 1 for O, I for 1, 0 for I. Two of the four lie inside a group.
    found = re.search(r"inside these groups \| (\d+)%", results_ceiling.ceiling(study))
    assert found
    assert 40 < int(found[1]) < 60


def test_the_picture_of_the_ceiling_adds_up(study: PublishedStudy, tmp_path: Path) -> None:
    picture = results_ceiling.picture(study)
    assert sum(float(share) for _, share in picture.rows[:4] if share is not None) == pytest.approx(1)
    assert picture.save(tmp_path).stat().st_size > 1000


def test_all_that_was_spent_is_summed(kept: Path) -> None:
    tried = [{"rate": 0.1, "val_accuracy": 0.9, "cpu_seconds": 1800.0}] * 2
    write_json(kept.parent / "grid.json", {"answers": {"SGD": {"chosen": 0.1, "tried": tried}}})
    study, lines = PublishedStudy.read(kept), results_page.block("compute", "all", kept.parent).splitlines()
    saved, planned = runs_saved(study)
    spent = (study.costs.total.cpu_seconds or 0) / 3600
    assert planned == 9
    assert lines[2] == f"| small | {len(study.runs)} | {spent:.1f} | {saved} of 9 ({saved / 9:.0%}) |"
    assert lines[3] == "| grid | 2 | 1.0 | choices on validation data |"
    assert lines[4] == f"| *all* | {len(study.runs) + 2} | {spent + 1:.1f} |  |"


def test_rates_are_told(tmp_path: Path) -> None:
    tried = [{"rate": 0.1, "val_accuracy": None}, {"rate": 0.01, "val_accuracy": 0.9}]
    write_json(tmp_path / "rates.json", {"answers": {"SGD": {"chosen": 0.01, "tried": tried}}})
    assert "| SGD | 0.1: diverged, 0.01: 90.00% | 0.01 |" in results_page.rates("rates", tmp_path)


def test_blocks_are_replaced_and_the_rest_is_left(kept: Path) -> None:
    page = "before\n<!-- begin spent small -->\nold\n<!-- end spent small -->\nafter\n"
    new = results_page.rewritten(page, kept.parent)
    assert new.startswith("before\n<!-- begin spent small -->\n2 techniques")
    assert new.endswith("<!-- end spent small -->\nafter\n")
    assert results_page.rewritten(new, kept.parent) == new


def test_a_block_without_its_end_is_refused(kept: Path) -> None:
    page = "<!-- begin spent small -->\nold\n<!-- end spent smal -->\n"
    with pytest.raises(ConvtrialsError, match="no end"):
        results_page.rewritten(page, kept.parent)


def test_no_difference_ranks_above_a_loss(study: PublishedStudy) -> None:
    good, other = study.verdicts.techniques
    changed = (
        good.model_copy(update={"difference": -0.01}),
        other.model_copy(update={"difference": 0.0}),
    )
    verdicts = study.verdicts.model_copy(update={"techniques": changed})
    lines = results_page.verdicts(replace(study, verdicts=verdicts)).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:4]] == ["early stopping", "good"]


def test_an_unknown_block_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConvtrialsError, match="there are: verdicts"):
        results_page.block("verdict", "alexnet", tmp_path)


def test_pictures_of_published_studies_show_every_technique(study: PublishedStudy, tmp_path: Path) -> None:
    forest, cost = pictures(study)
    assert [row[0] for row in forest.rows] == ["good", "early stopping"]
    ratios = {one.name: one.cost_ratio for one in study.costs.techniques}
    assert {row[0]: row[1] for row in cost.rows} == ratios
    assert all(picture.save(tmp_path).stat().st_size > 1000 for picture in (forest, cost))


def test_the_page_draws_what_it_shows(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = tmp_path / "results"
    shutil.copytree(kept, results / "whole", ignore=shutil.ignore_patterns("*.png"))
    page = tmp_path / "results.md"
    page.write_text(
        "<!-- begin verdicts whole -->\n<!-- end verdicts whole -->\n![](results/whole/forest.png)\n"
    )
    monkeypatch.setattr("sys.argv", ["benchmarks.results", "--page", str(page), "--results", str(results)])
    results_page.main()
    assert sorted(path.name for path in results.rglob("*.png")) == ["forest.png"]
    assert "| good |" in page.read_text()
