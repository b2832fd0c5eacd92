"""Pieces of a study, merged, say what the whole says; pieces that do not fit are refused."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_studies import BASE, PINNED, Written, counted_test_images, prepared, spec_of

from convtrials.core.errors import StudyError
from convtrials.core.files import read_json, write_json
from convtrials.data.dataset import Dataset
from convtrials.reports.study.report import build_study_report
from convtrials.study.directory import StudyDirectory
from convtrials.study.execute.scheduler import run_to_end
from convtrials.study.merge import merge_published, merge_studies
from convtrials.study.plan.arms import build_arms
from convtrials.study.plan.spec import StudySpec
from convtrials.study.publish import publish
from convtrials.study.published_study import PublishedStudy
from convtrials.study.results.scores import Outcomes
from convtrials.study.run_study import run_study, write_study_documents

Make = Callable[..., Dataset]
TECHNIQUES: dict[str, Any] = {"cosine": {"schedule": "cosine"}, "fast": {"optimizer.lr": 6e-3}}


def spec_from(
    techniques: dict[str, Any], seeds: tuple[int, int], first_seed: int = 0, **rest: Any
) -> StudySpec:
    arms = build_arms(BASE, techniques, most_seeds=seeds[1], first_seed=first_seed)
    return StudySpec(arms=tuple(arms), seeds=seeds, first_seed=first_seed, **rest)


def trained(folder: Path, spec: StudySpec, data: Dataset) -> Path:
    """Train a small study in this process."""
    study, plan = prepared(folder, spec, data)
    run_study(study, plan, data, PINNED, show=lambda state, ended: None)
    return folder


def without(folder: Path, target: Path, unwanted: Callable[[str, int], bool]) -> Path:
    """Copy a study, less some of its runs."""
    shutil.copytree(folder, target)
    for run in target.glob("runs/*/seed*"):
        if unwanted(run.parent.name.rpartition("-")[0], int(run.name.removeprefix("seed"))):
            shutil.rmtree(run)
    for name in ("verdicts.json", "costs.json", "runs.csv"):
        (target / name).unlink()
    return target


def copied(folder: Path, target: Path) -> Path:
    shutil.copytree(folder, target)
    return target


def change(path: Path, **values: Any) -> None:
    write_json(path, {**read_json(path), **values})


@pytest.fixture(scope="module")
def data(make_dataset: Make) -> Dataset:
    return make_dataset()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, data: Dataset) -> Path:
    """A study of two techniques with four seeds, really trained."""
    return trained(tmp_path_factory.mktemp("whole") / "whole", spec_from(TECHNIQUES, (4, 4)), data)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, whole: Path) -> Path:
    """Its first two seeds, as a study that was stopped there."""
    return without(whole, tmp_path_factory.mktemp("first") / "first", lambda arm, seed: seed >= 2)


@pytest.fixture(scope="module")
def more(tmp_path_factory: pytest.TempPathFactory, data: Dataset) -> Path:
    """Its other two seeds, trained as a study of their own."""
    return trained(
        tmp_path_factory.mktemp("more") / "more", spec_from(TECHNIQUES, (2, 2), first_seed=2), data
    )


def verdicts_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_json(folder / "verdicts.json")
    return found


def test_further_seeds_give_back_the_verdicts_key_for_key(
    whole: Path, first: Path, more: Path, tmp_path: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in (*first.rglob("*"), *more.rglob("*"))}
    out = merge_studies([first, more], tmp_path / "merged")
    assert verdicts_of(out) == verdicts_of(whole)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    runs = [read_json(path)["total"] for path in (out / "costs.json", more / "costs.json")]
    assert (runs[0]["runs"], runs[1]["runs"]) == (12, 6)
    spent = [read_json(path)["cpu_seconds"] for path in out.glob("runs/*/*/result.json")]
    assert runs[0]["cpu_seconds"] == pytest.approx(sum(spent))


def test_the_log_and_the_report_say_that_it_is_merged(first: Path, more: Path, tmp_path: Path) -> None:
    out = merge_studies([first, more], tmp_path / "merged")
    log = StudyDirectory(out).plan_log
    assert log.doubts == ()
    assert [(piece.name, piece.runs) for piece in log.merged] == [("first", 6), ("more", 6)]
    assert log.versions[-1].finished_runs == 12
    page = build_study_report(out).read_text(encoding="utf-8")
    assert "merged from first (6 runs), more (6 runs)" in page


def test_what_was_settled_after_a_merge_is_not_taken_back(first: Path, more: Path, tmp_path: Path) -> None:
    study = StudyDirectory(merge_studies([first, more], tmp_path / "merged"))
    assert not study.change_interrupted
    plan = replace(study.plan, spec=study.plan.spec.model_copy(update={"weights": "all", "title": "Now"}))
    study.write_plan(plan, [])
    assert (study.requested_plan.spec.weights, study.requested_plan.spec.title) == ("all", "Now")


def test_a_merged_study_goes_on_where_its_plan_has_more(
    first: Path, whole: Path, data: Dataset, tmp_path: Path
) -> None:
    third = without(whole, tmp_path / "third", lambda arm, seed: seed != 2)
    out = merge_studies([first, third], tmp_path / "merged")
    study = StudyDirectory(out)
    assert len(study.ended_runs()) == 9
    run_study(study, study.plan, data, PINNED, show=lambda state, ended: None)
    assert verdicts_of(out) == verdicts_of(whole)


def test_arms_in_pieces_become_one_study(whole: Path, data: Dataset, tmp_path: Path) -> None:
    pieces = [
        trained(tmp_path / name, spec_from({name: TECHNIQUES[name]}, (4, 4)), data)
        for name in ("cosine", "fast")
    ]
    out = merge_studies(pieces, tmp_path / "merged")
    assert verdicts_of(out) == verdicts_of(whole)
    assert "technique fast: added" in StudyDirectory(out).plan_log.versions[-1].changes


def test_three_pieces_and_a_merge_of_a_merge(whole: Path, first: Path, tmp_path: Path) -> None:
    pieces = [without(whole, tmp_path / f"seed{k}", lambda arm, seed, k=k: seed != k) for k in (2, 3)]
    at_once = merge_studies([first, *pieces], tmp_path / "three")
    half = merge_studies([first, pieces[0]], tmp_path / "half")
    twice = merge_studies([half, pieces[1]], tmp_path / "twice")
    for out in (at_once, twice):
        assert verdicts_of(out) == verdicts_of(whole)
        assert [piece.name for piece in StudyDirectory(out).merged] == ["first", "seed2", "seed3"]


def test_equal_runs_count_once(whole: Path, first: Path, tmp_path: Path) -> None:
    out = merge_studies([first, whole], tmp_path / "merged")
    assert verdicts_of(out) == verdicts_of(whole)
    assert read_json(out / "costs.json")["total"]["runs"] == 12


def test_finished_runs_are_linked_and_open_ones_copied(first: Path, more: Path, tmp_path: Path) -> None:
    open_one = copied(first, tmp_path / "open")
    unfinished = next(open_one.glob("runs/baseline-*/seed1"))
    (unfinished / "result.json").unlink()
    out = merge_studies([open_one, more], tmp_path / "merged")
    assert next(out.glob("runs/baseline-*/seed0/result.json")).stat().st_nlink > 1
    assert next(out.glob("runs/baseline-*/seed1/run.json")).stat().st_nlink == 1
    assert not [*out.rglob(".lock")]


def test_where_no_links_can_be_made_runs_are_copied(
    first: Path, more: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(source: Path, target: Path) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refused)
    out = merge_studies([first, more], tmp_path / "merged")
    assert verdicts_of(out) == verdicts_of(whole)


def test_published_copies_are_merged_to_the_same_verdicts(
    whole: Path, first: Path, more: Path, tmp_path: Path
) -> None:
    copies = []
    for folder in (first, more):
        publish(folder, tmp_path / folder.name)
        copies.append(tmp_path / folder.name)
    out = merge_studies(copies, tmp_path / "merged")
    merged = PublishedStudy.read(out)
    assert verdicts_of(out) == verdicts_of(whole)
    assert merged.changed_verdicts() == []
    assert [(piece.name, piece.runs) for piece in merged.merged] == [("first", 6), ("more", 6)]
    assert any("merged from first (6 runs), more (6 runs)" in one for one in merged.how.plan_remarks)
    totals = [PublishedStudy.read(copy).costs.total for copy in copies]
    assert merged.costs.total.runs == 12
    assert merged.costs.total.wall_seconds == pytest.approx(sum(one.wall_seconds or 0 for one in totals))


def test_a_cost_is_over_the_seeds_that_the_technique_has(first: Path, more: Path, tmp_path: Path) -> None:
    """The second machine takes three times as long, and has no run of one technique."""
    slow = copied(more, tmp_path / "slow")
    shutil.rmtree(next(slow.glob("runs/fast-*")))
    for path in slow.glob("runs/*/*/result.json"):
        change(path, cpu_seconds=3 * read_json(path)["cpu_seconds"])
    out = merge_studies([first, slow], tmp_path / "merged")
    write_study_documents(first)
    ratios = [
        {one["name"]: one["cost_ratio"] for one in read_json(folder / "costs.json")["techniques"]}
        for folder in (out, first)
    ]
    assert ratios[0]["fast"] == pytest.approx(ratios[1]["fast"])


def test_other_pieces_are_refused_by_name(first: Path, more: Path, data: Dataset, tmp_path: Path) -> None:
    def refused(match: str, *folders: Path) -> None:
        with pytest.raises(StudyError, match=match) as caught:
            merge_studies(folders, tmp_path / "out")
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "out").exists()

    refused("two studies or more", first)
    refused("no such folder", first, tmp_path / "nowhere")
    refused("no plan.json here", first, tmp_path)
    other_data = replace(data, fingerprint="others")
    refused(
        r"more: is on other data than .*first \(others, not patterns",
        first,
        trained(tmp_path / "a" / "more", spec_from(TECHNIQUES, (2, 2), first_seed=2), other_data),
    )
    log_loss = spec_from(TECHNIQUES, (2, 2), first_seed=2, metric="log_loss", margin=0.1)
    refused(
        r"has another metric than .* \(log_loss, not accuracy\)",
        first,
        trained(tmp_path / "b" / "more", log_loss, data),
    )
    changed = {**TECHNIQUES, "cosine": {"schedule": "step"}}
    refused(
        "its recipe of cosine is not that of",
        first,
        trained(tmp_path / "c" / "more", spec_from(changed, (2, 2), first_seed=2), data),
    )
    bf16 = copied(more, tmp_path / "bf16")
    change(bf16 / "execution.json", precision="bf16")
    refused(r"bf16: was computed with another precision than .* \(bf16, not fp32\)", first, bf16)
    refused("which has seeds 2 to 3; the study whose plan has all seeds must be named first", more, first)
    new = trained(tmp_path / "new", spec_from({"step": {"schedule": "step"}}, (2, 2), first_seed=2), data)
    refused(
        r"new: technique step is in no study before it, and its seeds do not begin .*\(2, not 0\)", first, new
    )
    gap = without(more, tmp_path / "gap", lambda arm, seed: seed == 2)
    refused("baseline: seed 2 is in none of the studies; there are seeds 0, 1, 3", first, gap)


def test_one_technique_under_two_names_is_refused(first: Path, data: Dataset, tmp_path: Path) -> None:
    again = spec_from({"again": TECHNIQUES["cosine"]}, (2, 2))
    prepared(tmp_path / "more", again, data)
    with pytest.raises(StudyError, match=r"again: is the same recipe with the same seeds as cosine"):
        merge_studies([first, tmp_path / "more"], tmp_path / "out")


def test_other_sources_are_refused_also_where_the_first_piece_has_no_runs_of_an_arm(
    first: Path, tmp_path: Path
) -> None:
    publish(first, tmp_path / "copy")
    copy = PublishedStudy.read(tmp_path / "copy")

    def made_from(found: dict[str, dict[str, str]]) -> PublishedStudy:
        return replace(copy, how=copy.how.model_copy(update={"made_from": found}))

    pieces = [made_from({}), *(made_from({"cosine": {"model source": digest}}) for digest in ("aa", "bb"))]
    with pytest.raises(StudyError, match="runs of cosine were made from another model source than in"):
        merge_published(pieces)


def test_another_run_of_the_same_seed_is_refused(whole: Path, first: Path, tmp_path: Path) -> None:
    other = copied(whole, tmp_path / "other")
    path = next(other.glob("runs/cosine-*/seed1")) / "predictions-test.npz"
    arrays = dict(np.load(path))
    arrays["probabilities"] = arrays["probabilities"][:, ::-1].copy()
    np.savez(path, **arrays)
    result = path.with_name("result.json")
    write_json(result, {k: v for k, v in read_json(result).items() if k not in ("files", "test_accuracy")})
    with pytest.raises(StudyError, match=r"other: cosine, seed 1 is in .*first too, with other predictions"):
        merge_studies([first, other], tmp_path / "out")


def test_copies_and_directories_do_not_mix(first: Path, more: Path, tmp_path: Path) -> None:
    publish(more, tmp_path / "copy")
    with pytest.raises(StudyError, match="copy: is a published copy, others are not"):
        merge_studies([first, tmp_path / "copy"], tmp_path / "out")


def test_a_folder_that_holds_something_is_left_alone(first: Path, more: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "letter.txt").write_text("dear")
    with pytest.raises(StudyError, match="is there already and not empty"):
        merge_studies([first, more], tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["letter.txt"]


def test_a_study_that_is_being_run_is_refused(first: Path, more: Path, tmp_path: Path) -> None:
    running = copied(more, tmp_path / "running")
    with (
        StudyDirectory(running).running(),
        pytest.raises(StudyError, match="running: is being run by another process"),
    ):
        merge_studies([first, running], tmp_path / "out")


def test_another_processor_is_a_note(
    first: Path, more: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = copied(more, tmp_path / "elsewhere")
    change(elsewhere / "environment.json", processor="Another")
    merge_studies([first, elsewhere], tmp_path / "out")
    assert "elsewhere on Another" in caplog.text


def test_lost_runs_are_handled_as_in_a_study(data: Dataset, tmp_path: Path) -> None:
    """A diverged run makes its technique unstable, a failed one makes it failed, in whichever piece it was."""
    accuracy = {"baseline": 0.9, "wild": 0.9, "broken": 0.9}
    ends = {("wild", 2): "diverged", ("broken", 3): None}
    techniques = {"wild": {"schedule": "cosine"}, "broken": {"schedule": "step"}}
    study, plan = prepared(tmp_path / "whole", spec_of(techniques, (4, 4)), data)
    counted_test_images(study, 2000)
    executor = Written(study, plan, lambda arm, place: ends.get((arm, place), accuracy[arm]))
    run_to_end(study, plan, Outcomes(study, plan, None), executor, lambda state, ended: None, workers=1)
    write_study_documents(study.folder)
    first = without(study.folder, tmp_path / "first", lambda arm, seed: seed >= 2)
    shutil.rmtree(first / "failures")
    more = without(study.folder, tmp_path / "more", lambda arm, seed: seed < 2)
    out = merge_studies([first, more], tmp_path / "merged")
    assert verdicts_of(out) == verdicts_of(study.folder)
    words = {one["name"]: one["verdict"] for one in verdicts_of(out)["techniques"]}
    assert words == {"wild": "unstable", "broken": "failed"}
    for name in ("first", "more"):
        publish(tmp_path / name, tmp_path / "copies" / name)
    copies = merge_studies([tmp_path / "copies" / name for name in ("first", "more")], tmp_path / "m")
    assert verdicts_of(copies) == verdicts_of(study.folder)


def test_changes_of_the_pieces_plans_stay_on_record(first: Path, more: Path, tmp_path: Path) -> None:
    changed = copied(more, tmp_path / "changed")
    study = StudyDirectory(changed)
    study.write_plan(study.plan, ["margin: 0.01 -> 0.005"])
    out = merge_studies([first, changed], tmp_path / "out")
    assert StudyDirectory(out).plan_log.versions[-1].changes[0].startswith("merged from")
    assert any(
        one.startswith("changed: On record of the plan, after 6 ended runs: margin")
        for one in StudyDirectory(out).plan_log.versions[-1].changes
    )


def test_a_piece_that_was_planned_by_other_rules_is_on_record(
    first: Path, data: Dataset, tmp_path: Path
) -> None:
    other = trained(tmp_path / "other", spec_from(TECHNIQUES, (2, 2), first_seed=2, margin=0.01), data)
    out = merge_studies([first, other], tmp_path / "out")
    assert StudyDirectory(out).plan.spec.margin == 0.005
    assert "other: was planned with margin 0.01" in StudyDirectory(out).plan_log.versions[-1].changes


def test_the_studies_in_docs_give_the_numbers_of_the_page() -> None:
    """VGG11's headline: the second look of a study whose machine was gone after the first."""
    results = Path(__file__).parents[2] / "docs" / "results"
    merged = merge_published([PublishedStudy.read(results / name) for name in ("vgg11", "vgg11-look-5")])
    assert merged.verdicts.complete
    found = {one.name: one for one in merged.verdicts.techniques}
    assert (found["best"].verdict, found["best"].seeds) == ("better", 3)
    assert found["seed-optimised"].seeds == 5
    page = (results.parent / "results.md").read_text(encoding="utf-8")
    assert f"{100 * (found['seed-optimised'].difference or 0):+.2f}" in page
    assert merged.costs.total.runs == 13
    assert {run.result.epochs for run in merged.finished("baseline")} == {10}
    assert json.loads(json.dumps(merged.verdicts.to_dict()))["plan"] == "1b8b14ca94887dd0"
