"""docs/results.md is what docs/results/ says, and what is kept of a study says what the study says."""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import publish_study
import pytest

from benchmarks.results import ceiling as results_ceiling
from benchmarks.results import page as results_page
from benchmarks.results.compute import runs_saved
from benchmarks.results.files import Published, read_published
from benchmarks.results.rejudged import rejudged
from convtrials.core.errors import ConvtrialsError
from convtrials.core.files import write_json

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def study(kept: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    monkeypatch.setattr(results_ceiling, "CHARACTER_GROUPS", (("0", "O"), ("1", "I")))
    return read_published(kept)


def with_techniques(study: Published, *changes: dict[str, Any]) -> Published:
    """Return the study with other verdicts, technique by technique."""
    pairs = zip(study.verdicts.techniques, changes, strict=True)
    techniques = tuple(one.model_copy(update=change) for one, change in pairs)
    return replace(study, verdicts=study.verdicts.model_copy(update={"techniques": techniques}))


def test_the_page_is_what_the_files_say() -> None:
    page = (DOCS / "results.md").read_text(encoding="utf-8")
    assert results_page.MARK.search(page)
    assert results_page.rewritten(page, DOCS / "results") == page


def test_the_answers_give_the_scores_of_the_verdicts(study: Published) -> None:
    for one in study.verdicts.arms:
        found = (study.answers_of(one.name) == study.labels).mean(axis=1)
        assert found.tolist() == pytest.approx(one.scores)
        low, high = one.mean_interval
        assert low < one.mean < high


def test_nothing_of_the_machine_is_kept(kept: Path) -> None:
    for path in kept.glob("*.json"):
        assert str(kept.parents[1]) not in path.read_text()


def test_of_a_file_of_weights_its_name_is_kept() -> None:
    found = publish_study.without_folders({"initial_weights": "/home/somebody/start.pth", "width": 0.25})
    assert found == {"initial_weights": "start.pth", "width": 0.25}
    assert publish_study.without_folders({"width": 0.25}) == {"width": 0.25}


def test_the_verdict_table_has_every_arm_and_the_largest_difference_first(study: Published) -> None:
    lines = results_page.verdicts(study).splitlines()
    assert lines[2].startswith("| good | +")
    assert "**better**" in lines[2]
    assert lines[-1].startswith("| *baseline* |")
    assert len(lines) == 2 + 3


def test_the_answers_judged_anew_give_the_verdicts(study: Published) -> None:
    assert rejudged(study) == "Judged anew: the same."
    other = with_techniques(study, {"verdict": "worse"}, {})
    assert rejudged(other).startswith("Judged anew today: good better (+")


def test_what_stopping_saved_is_counted(study: Published) -> None:
    told = results_page.spent(study)
    used = sum(run["used_in_verdict"] == "true" for run in study.runs)
    assert study.verdicts.complete
    assert f"{9 - used} of 9 possible runs" in told
    assert "2 techniques" in told


def test_other_tables_name_their_arms(study: Published) -> None:
    assert "| early stopping | 2 | 2, 2" in results_page.stopping(study)
    assert "| good |" in results_page.levels(study)
    assert "0/O" in results_ceiling.groups(study)
    assert "0 → O" in results_ceiling.pairs(study)


def test_errors_inside_groups_are_a_half(study: Published) -> None:
    # A wrong answer is the next class: O for 0, 1 for O, I for 1, 0 for I. Two of the four lie inside a group.
    found = re.search(r"inside these groups \| (\d+)%", results_ceiling.ceiling(study))
    assert found
    assert 40 < int(found[1]) < 60


def test_the_picture_of_the_ceiling_adds_up(study: Published, tmp_path: Path) -> None:
    picture = results_ceiling.picture(study)
    assert sum(float(share) for _, share in picture.rows[:4] if share is not None) == pytest.approx(1)
    assert picture.save(tmp_path).stat().st_size > 1000


def test_all_that_was_spent_is_summed(kept: Path) -> None:
    tried = [{"rate": 0.1, "val_accuracy": 0.9, "cpu_seconds": 1800.0}] * 2
    write_json(kept.parent / "grid.json", {"answers": {"SGD": {"chosen": 0.1, "tried": tried}}})
    study, lines = read_published(kept), results_page.block("compute", "all", kept.parent).splitlines()
    saved, planned = runs_saved(study)
    spent = study.costs.total.cpu_seconds / 3600
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


def test_no_difference_ranks_above_a_loss(study: Published) -> None:
    lines = results_page.verdicts(
        with_techniques(study, {"difference": -0.01}, {"difference": 0.0})
    ).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:4]] == ["early stopping", "good"]


def test_an_unknown_block_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConvtrialsError, match="there are: verdicts"):
        results_page.block("verdict", "alexnet", tmp_path)


def test_the_answers_file_needs_no_pickle(kept: Path) -> None:
    with np.load(kept / "answers.npz", allow_pickle=False) as stored:
        assert stored["answers"].dtype == np.uint8
        assert stored["answers"].shape[1] == len(stored["labels"])


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
