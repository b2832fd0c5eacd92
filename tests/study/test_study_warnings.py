"""What a reader must know of a study: in verdicts.json, in the terminal, on the page, and in Python."""

import csv
import html
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_studies import COSINE, Written, counted_test_images, prepared, spec_of
from study_runs import entries_of
from typer.testing import CliRunner

from convtrials.cli.study import app
from convtrials.core.files import read_json
from convtrials.evaluation.guessing import Answers, Standing, against_guessing
from convtrials.reports.study.record import read_study
from convtrials.reports.study.report import build_study_report
from convtrials.study.execute.scheduler import run_to_end
from convtrials.study.result import StudyResult
from convtrials.study.results.documents import write_documents
from convtrials.study.results.scores import Outcomes
from convtrials.study.results.warnings import ArmRuns, StudyWarning, study_warnings
from convtrials.study.run_study import status_reader

SGD = {"sgd": {"optimizer": {"name": "sgd", "lr": 1e-5}}, **COSINE}

LABELS = np.repeat(np.arange(4), 500)

PLATEAU = entries_of([0.5, 0.9, 0.9])


def standing(right: float, *, one_class: bool = False, auc: float | None = None) -> Standing:
    """A run over 4 classes of 500 images each, with so large a share right beyond guesses."""
    predicted = np.tile(np.arange(4), 500)
    known = np.random.default_rng(1).random(2000) < right
    predicted = np.zeros(2000, int) if one_class else np.where(known, LABELS, predicted)
    return against_guessing(Answers.of(LABELS, predicted, 4), auc)


GOOD, LOST, ONE = standing(0.7), standing(0.0), standing(0.0, one_class=True)


def arm(name: str, *standings: Standing, history: Any = PLATEAU, auc: float | None = None) -> ArmRuns:
    return ArmRuns(name, standings, [auc] * len(standings), [history] * len(standings))


def told(baseline: ArmRuns, *techniques: ArmRuns, metric: str = "accuracy", margin: float = 0.005,
         support: Any = None) -> list[StudyWarning]:  # fmt: skip
    support = np.full(4, 500) if support is None else np.asarray(support)
    return study_warnings(
        baseline, techniques, support=support, class_names=list("abcd"), metric=metric, margin=margin
    )


def test_where_all_is_well_nothing_is_said() -> None:
    assert told(arm("baseline", GOOD, GOOD), arm("gelu", GOOD, GOOD)) == []
    assert (
        study_warnings(arm("baseline"), [], support=None, class_names=[], metric="accuracy", margin=0.005)
        == []
    )


def test_a_technique_whose_runs_learned_nothing_is_not_blamed() -> None:
    [one] = told(arm("baseline", GOOD, GOOD), arm("sgd", LOST, LOST))
    assert (one.kind, one.arm, one.mark) == ("at_chance", "sgd", "2 of 2 runs are no better than guessing")
    assert one.text == (
        "sgd: 2 of 2 runs are no better than guessing (25.0% right; guessing gives 25.0%). Its verdict says that it "
        "did not learn here, most likely because of its learning rate or of too few steps, not that the technique is "
        "bad."
    )
    assert one.numbers["runs"] == one.numbers["of"] == 2
    assert one.numbers["guessing"] == 0.25
    json.dumps(one.to_dict(), allow_nan=False)


def test_one_lost_run_among_good_ones_is_counted() -> None:
    [one] = told(arm("baseline", GOOD, GOOD, GOOD), arm("high rate", GOOD, LOST, GOOD))
    assert one.mark == "1 of 3 runs is no better than guessing"
    assert "mixes them with runs that learned" in one.text
    assert "did not learn here" not in one.text


def test_one_answer_for_every_image_is_told_as_that() -> None:
    [one] = told(arm("baseline", GOOD, GOOD), arm("sgd", ONE, ONE))
    assert (one.kind, one.mark) == ("one_class", "2 of 2 runs answer one class only")
    [one] = told(arm("baseline", GOOD), arm("sgd", ONE))
    assert one.mark == "1 of 1 run answers one class only"
    [both] = told(arm("baseline", GOOD, GOOD), arm("sgd", ONE, LOST))
    assert (both.kind, both.mark) == ("at_chance", "2 of 2 runs are no better than guessing")


def test_a_baseline_that_learned_nothing_voids_the_verdicts_and_comes_first() -> None:
    found = told(
        arm("baseline", LOST, LOST, history=entries_of([0.2, 0.4])),
        arm("sgd", LOST, LOST),
        support=[9, 500, 500, 500],
    )
    assert [(one.kind, one.arm) for one in found] == [
        ("at_chance", "baseline"), ("at_chance", "sgd"), ("few_test_images", None)
    ]  # fmt: skip
    assert "did not learn, so they say nothing about the techniques" in found[0].text
    mixed = told(arm("baseline", LOST, GOOD))[0]
    assert mixed.text.startswith("Of the baseline, 1 of 2 runs is no better than guessing")
    assert "mixture" in mixed.text


def test_probabilities_that_rank_are_not_called_nothing_learned() -> None:
    ranking = standing(0.0, one_class=True, auc=0.83)
    baseline, technique = told(
        arm("baseline", ranking, auc=0.83), arm("gelu", ranking, auc=0.83), metric="log_loss", margin=9.0
    )
    for one in (baseline, technique):
        assert "Its probabilities do separate the classes (macro AUC 0.83)" in one.text
        assert "did not learn" not in one.text
    # One run without a ranking is one that learned nothing.
    assert "did not learn" in told(arm("baseline", GOOD), arm("gelu", ranking, ONE, auc=0.83))[0].text


def test_a_baseline_that_was_still_learning_may_turn_answers_round() -> None:
    rising = entries_of([0.3, 0.6, 0.723])
    [one] = told(arm("baseline", GOOD, GOOD, history=rising))
    assert one.text == (
        "The baseline was still learning: its last epoch raised the validation accuracy by 12.3 points, more than the "
        "margin of 0.5. With more epochs the verdicts may change."
    )
    assert (one.kind, one.arm, one.mark) == ("still_learning", "baseline", "")
    assert told(arm("baseline", GOOD, history=rising), margin=0.2) == []
    [short] = told(arm("baseline", GOOD, history=entries_of([0.9])))
    assert short.kind == "one_epoch"
    # What the techniques did in their last epoch is theirs.
    assert told(arm("baseline", GOOD), arm("gelu", GOOD, history=rising)) == []


def test_the_rise_is_the_mean_over_runs_that_learned() -> None:
    rising, flat = entries_of([0.3, 0.6, 0.609]), entries_of([0.3, 0.6, 0.6])
    mixed = ArmRuns("baseline", [GOOD, GOOD], [None, None], [rising, flat])
    assert told(mixed) == []  # less than half a point on average
    lost = ArmRuns("baseline", [GOOD, LOST], [None, None], [flat, rising])
    assert [one.kind for one in told(lost)] == ["at_chance"]


def test_a_rise_within_the_noise_of_few_validation_images_is_none() -> None:
    history = entries_of([0.5, 0.9, 0.92])  # two points, where 100 images give a standard error of three

    def kinds(val_images: int | None) -> list[str]:
        found = study_warnings(arm("baseline", GOOD, history=history), [], support=None, class_names=[],
                               metric="accuracy", margin=0.005, val_images=val_images)  # fmt: skip
        return [one.kind for one in found]

    assert kinds(100) == []
    assert kinds(1000) == kinds(None) == ["still_learning"]


def test_on_a_log_loss_the_validation_loss_tells() -> None:
    falling = [
        entry.model_copy(update={"val_loss": loss})
        for entry, loss in zip(PLATEAU, (2.0, 1.5, 1.25), strict=True)
    ]
    [one] = told(arm("baseline", GOOD, history=falling), metric="log_loss", margin=0.02)
    assert "its last epoch lowered the validation loss by 0.25 nats, more than the margin of 0.02" in one.text
    assert told(arm("baseline", GOOD, history=falling), metric="log_loss", margin=0.3) == []
    assert told(arm("baseline", GOOD), metric="log_loss", margin=0.02) == []  # of a history without a loss


def test_what_the_data_does_to_several_arms_is_told_once() -> None:
    labels = np.repeat([0, 1], [900, 100])
    predicted = labels.copy()
    predicted[:45], predicted[-50:] = 1, 0
    rare = against_guessing(Answers.of(labels, predicted, 4))
    [one] = told(arm("baseline", rare, rare), arm("gelu", rare, GOOD))
    assert (one.kind, one.arm, one.mark) == ("accuracy_misleads", None, "")
    assert "always answering 'a' (90.0%)" in one.text
    assert "baseline, gelu" in one.text
    assert one.numbers["runs"] == {"baseline": 2, "gelu": 1}
    tiny = against_guessing(Answers.of(np.array([0, 0, 1]), np.array([0, 1, 1]), 4))
    [few] = told(arm("baseline", tiny), arm("gelu", tiny))
    assert few.text == (
        "3 test images are too few to say whether runs of these arms are better than guessing: baseline, gelu."
    )


def test_names_that_are_no_utf_8_are_written_so_that_the_page_can_read_them() -> None:
    [one] = study_warnings(
        arm("baseline", GOOD),
        [],
        support=np.array([9, 500]),
        class_names=["gr\udcf6", "b"],
        metric="accuracy",
        margin=0.1,
    )
    assert one.text.startswith(r"gr\udcf6 has 9 test images")
    names = ["caf\udce9", "caf\udce8", "tea"]
    [three] = study_warnings(
        arm("baseline", GOOD),
        [],
        support=np.array([3, 4, 5]),
        class_names=names,
        metric="accuracy",
        margin=0.1,
    )
    assert "3 classes have fewer than 10 test images" in three.text
    assert r"caf\udce9 (3), caf\udce8 (4), tea (5)" in three.text


@pytest.fixture(scope="module")
def conducted(make_dataset: Any, tmp_path_factory: Any) -> Path:
    """A study of which one technique guesses; its runs are written, all else is real."""
    return conduct_written(tmp_path_factory.mktemp("lost") / "study", make_dataset(), {"sgd": 0.25})


def conduct_written(
    folder: Path, dataset: Any, accuracies: dict[str, float], specification: Any = None
) -> Path:
    study, plan = prepared(folder, specification or spec_of(SGD), dataset)
    counted_test_images(study, 2000)
    executor = Written(study, plan, lambda name, place: accuracies.get(name, 0.8))
    outcomes = Outcomes(study, plan, None)
    run_to_end(study, plan, outcomes, executor, lambda state, ended: None, workers=3)
    write_documents(study, plan, outcomes)
    return study.folder


def test_verdicts_json_and_python_tell_of_the_lost_arm(conducted: Path) -> None:
    result = StudyResult(conducted)
    document = result.document()
    learning, lost = document["warnings"]
    assert (learning["kind"], learning["arm"]) == ("still_learning", "baseline")
    assert (lost["kind"], lost["arm"], lost["mark"]) == (
        "at_chance",
        "sgd",
        "2 of 2 runs are no better than guessing",
    )
    assert result.warnings() == [learning["text"], lost["text"]]
    assert result.verdicts()["sgd"].endswith(" Here, 2 of 2 runs are no better than guessing.")
    assert "guessing" not in result.verdicts()["cosine"]
    predictions = [np.load(path) for path in sorted(conducted.glob("runs/sgd-*/*/predictions-test.npz"))]
    right = [(one["probabilities"].argmax(axis=1) == one["labels"]).mean() for one in predictions]
    assert lost["numbers"]["accuracy"] == pytest.approx(np.mean(right))


def test_status_names_the_lost_arm(conducted: Path) -> None:
    assert [run.arm for run in status_reader(conducted)().runs if not run.learned] == ["sgd", "sgd"]
    shown = CliRunner().invoke(app, ["status", str(conducted)])
    assert "warning: sgd: 2 of 2 finished runs are no better than guessing" in shown.stdout
    assert "warning: baseline" not in shown.stdout


def test_page_and_terminal_tell_of_the_lost_arm(conducted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convtrials.reports.picture.DPI", 40)
    shown = CliRunner().invoke(app, ["report", str(conducted)])
    assert shown.exit_code == 0, shown.output
    page = html.unescape((conducted / "report.html").read_text(encoding="utf-8"))
    for text in StudyResult(conducted).warnings():
        assert f"warning: {text}\n" in shown.stdout
        assert page.index(text) < page.index('class="lead"')
    assert "notice alarm" not in page
    table = page[page.index('<table class="verdicts">') :].split("</table>")[0]
    [row] = [row for row in table.split("<tr>") if "</span>sgd<small>" in row]
    assert '<small class="mark">2 of 2 runs are no better than guessing</small>' in row
    assert page.count('class="mark"') == 1
    # What a network that guesses confuses is no mistake that goes or comes.
    with open(conducted / "figures" / "class-pairs.csv", newline="", encoding="utf-8") as file:
        assert {line["technique"] for line in csv.DictReader(file)} == {"cosine"}


def test_a_lost_baseline_is_told_loudly(
    make_dataset: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convtrials.reports.picture.DPI", 40)
    folder = conduct_written(tmp_path / "study", make_dataset(), {"baseline": 0.25})
    document = read_json(folder / "verdicts.json")
    assert [(one["kind"], one["arm"]) for one in document["warnings"]] == [("at_chance", "baseline")]
    for one in document["techniques"]:
        assert one["sentence"].endswith(" Of the baseline, 2 of 2 runs are no better than guessing.")
    page = build_study_report(folder).read_text(encoding="utf-8")
    assert "notice alarm" in page
    assert not (folder / "figures" / "class-pairs.csv").exists()
    assert (folder / "figures" / "roc.csv").exists()


def test_older_verdicts_without_warnings_are_read(conducted: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "older"
    shutil.copytree(conducted, folder)
    document = read_json(folder / "verdicts.json")
    del document["warnings"]
    (folder / "verdicts.json").write_text(json.dumps(document))
    study = read_study(folder)
    assert study.verdicts.warnings == ()
    assert [study.mark_of(one) for one in study.arms] == ["", "", ""]
    assert StudyResult(folder).warnings() == []


def test_the_same_runs_give_the_same_warnings_in_whatever_order_they_end(
    conducted: Path, make_dataset: Any, tmp_path: Path
) -> None:
    study, plan = prepared(tmp_path / "study", spec_of(SGD), make_dataset())
    counted_test_images(study, 2000)
    backwards = Written(
        study, plan, lambda name, place: {"sgd": 0.25}.get(name, 0.8), order=lambda tasks: len(tasks) - 1
    )
    outcomes = Outcomes(study, plan, None)
    run_to_end(study, plan, outcomes, backwards, lambda state, ended: None, workers=3)
    write_documents(study, plan, outcomes)
    assert (study.folder / "verdicts.json").read_bytes() == (conducted / "verdicts.json").read_bytes()
