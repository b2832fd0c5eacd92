"""A study is run to its end, whatever happens to its runs; what it says depends on the runs alone."""

import json
import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_studies import BASE, COSINE, PINNED, Written, counted_test_images, prepared, spec_of

from convtrials.core.errors import Interrupted, RunError, StudyError
from convtrials.core.files import read_json
from convtrials.data.dataset import Dataset
from convtrials.evaluation.guessing import NOT_LEARNED
from convtrials.models.registry import build_model
from convtrials.models.weights import save_weights
from convtrials.reports.study.report import build_study_report
from convtrials.study.directory import StudyDirectory
from convtrials.study.execute.in_process import InProcess
from convtrials.study.execute.run_trainer import LiveNote, RunTrainer
from convtrials.study.execute.scheduler import run_to_end
from convtrials.study.plan.arms import build_arms
from convtrials.study.plan.spec import StudySpec
from convtrials.study.prepare import open_data, prepare
from convtrials.study.results.documents import write_documents
from convtrials.study.results.scores import Outcomes
from convtrials.study.run_study import run_study, status_reader, write_study_documents
from convtrials.study.schemas import LiveRun
from convtrials.study.status import read_status
from convtrials.study.study import Study
from convtrials.training.engine.execution import Execution
from convtrials.training.engine.progress import Progress
from convtrials.training.engine.train import train
from convtrials.training.run_directory import Run

Make = Callable[..., Dataset]


def finish(folder: Path, spec: Any, dataset: Dataset, accuracy: Any, **options: Any) -> tuple[Written, Any]:
    """Run a study with written runs; return its executor and verdicts.json."""
    study, plan = prepared(folder, spec, dataset)
    counted_test_images(study, options.get("images", 2000))
    executor = Written(study, plan, accuracy, **options)
    outcomes = Outcomes(study, plan, None)
    run_to_end(study, plan, outcomes, executor, lambda state, ended: None, workers=3)
    return executor, write_documents(study, plan, outcomes).to_dict()


def test_runs_of_a_study_are_those_of_train(make_dataset: Make, tmp_path: Path) -> None:
    dataset = make_dataset()
    study, plan = prepared(tmp_path / "study", spec_of(COSINE), dataset)
    result = run_study(study, plan, dataset, PINNED, show=lambda state, ended: None)
    alone = train(
        BASE.changed(COSINE["cosine"]),
        dataset,
        seed=1,
        out=tmp_path / "alone",
        execution=Execution("cpu", "fp32", study.execution.channels_last, 1),
    )
    run = study.run(plan.arms[1], 1)
    one, other = (np.load(found.predictions_path)["probabilities"] for found in (run, alone))
    assert np.array_equal(one, other)
    assert result.complete
    assert result.techniques[0].scores[1] == alone.result.test_accuracy
    assert result == study.verdicts


def test_a_study_may_begin_at_seeds_that_nobody_has_looked_at(make_dataset: Make, tmp_path: Path) -> None:
    study = Study(BASE, COSINE, seeds=2, first_seed=40)
    result = study.run(make_dataset(), tmp_path / "study", workers=1, threads=1, precision="fp32")
    found = sorted(path.parent.name for path in result.folder.glob("runs/*/*/result.json"))
    assert found == ["seed40", "seed40", "seed41", "seed41"]
    document = result.document()
    assert document["baseline"]["seeds"] == document["techniques"][0]["run_seeds"] == [40, 41]
    assert StudyDirectory(result.folder).plan.arms[0].seed_offset == 40
    for wrong in (-1, 1.5, True):
        with pytest.raises(StudyError, match=f"first_seed: {wrong}"):
            Study(BASE, COSINE, first_seed=wrong).spec()  # type: ignore[arg-type]


def test_weights_of_the_first_seed_alone_are_kept(make_dataset: Make, tmp_path: Path) -> None:
    dataset = make_dataset()
    study, plan = prepared(tmp_path / "study", spec_of(COSINE), dataset)
    run_study(study, plan, dataset, PINNED, show=lambda state, ended: None)
    kept = sorted(path.parent.name for path in study.folder.glob("runs/*/*/weights.safetensors"))
    assert kept == ["seed0", "seed0"]


def test_all_arms_get_their_first_seeds_first(make_dataset: Make, tmp_path: Path) -> None:
    spec = spec_of({"a": {"dropout": 0.1}, "b": {"dropout": 0.2}}, (3, 3))
    executor, _ = finish(tmp_path / "s", spec, make_dataset(), lambda arm, k: 0.9)
    assert [task.position for task in executor.started] == sorted(task.position for task in executor.started)
    assert Counter(task.arm for task in executor.started) == {"baseline": 3, "a": 3, "b": 3}


def test_seeds_are_added_only_where_the_answer_is_open(make_dataset: Make, tmp_path: Path) -> None:
    spec = spec_of({"clear": {"dropout": 0.1}, "open": {"dropout": 0.2}}, (3, 10))
    chance = {"baseline": 0.90, "clear": 0.60, "open": 0.91}
    executor, document = finish(tmp_path / "s", spec, make_dataset(), lambda arm, k: chance[arm])
    runs = Counter(task.arm for task in executor.started)
    clear, still = document["techniques"]
    assert clear["verdict"] == "worse"
    assert runs["clear"] == clear["seeds"] < 10
    assert runs["baseline"] == runs["open"] == still["seeds"] >= runs["clear"]
    assert document["complete"]


def test_verdicts_do_not_depend_on_the_order_in_which_runs_end(make_dataset: Make, tmp_path: Path) -> None:
    techniques = {name: {"dropout": share} for name, share in (("a", 0.1), ("b", 0.2), ("c", 0.3))}
    chance = {"baseline": 0.90, "a": 0.93, "b": 0.905, "c": 0.80}
    said = []
    for trial in range(4):
        order = random.Random(trial)
        _, document = finish(
            tmp_path / str(trial),
            spec_of(techniques, (3, 7)),
            make_dataset(),
            lambda arm, k: chance[arm],
            places=1 + trial,
            order=lambda tasks, order=order: order.randrange(len(tasks)),
        )
        said.append(json.dumps(document, sort_keys=True))
    assert len(set(said)) == 1


def test_a_failing_run_is_tried_twice_and_the_others_go_on(make_dataset: Make, tmp_path: Path) -> None:
    spec = spec_of({"bad": {"dropout": 0.1}, "good": {"dropout": 0.2}}, (3, 3))
    executor, document = finish(
        tmp_path / "s", spec, make_dataset(), lambda arm, k: None if (arm, k) == ("bad", 1) else 0.9
    )
    tried = Counter((task.arm, task.position) for task in executor.started)
    assert tried[("bad", 1)] == 2
    assert set(tried.values()) == {1, 2}
    bad, good = document["techniques"]
    assert (bad["verdict"], bad["reason"], bad["status"]) == (
        "failed",
        "failed",
        ["finished", "failed", "finished"],
    )
    assert good["verdict"] not in ("failed", "unstable")


def test_a_run_that_fails_once_is_mended_by_the_second_try(make_dataset: Make, tmp_path: Path) -> None:
    tries: Counter[tuple[str, int]] = Counter()

    def accuracy(arm: str, position: int) -> Any:
        tries[(arm, position)] += 1
        return None if tries[(arm, position)] == 1 and position == 0 else 0.9

    _, document = finish(tmp_path / "s", spec_of(COSINE), make_dataset(), accuracy)
    assert document["baseline"]["status"] == ["finished", "finished"]
    study = StudyDirectory(tmp_path / "s")
    assert study.failures(study.run(study.plan.arms[0], 0)).errors == ("no luck",)


def test_the_same_command_tries_again_what_was_given_up(make_dataset: Make, tmp_path: Path) -> None:
    _, broken = finish(
        tmp_path / "s", spec_of(COSINE), make_dataset(), lambda arm, k: None if k == 1 else 0.9
    )
    assert broken["techniques"][0]["verdict"] == "failed"
    study, plan = prepared(tmp_path / "s", spec_of(COSINE), make_dataset())
    executor = Written(study, plan, lambda arm, k: 0.9)
    outcomes = Outcomes(study, plan, None)
    run_to_end(study, plan, outcomes, executor, lambda state, ended: None, workers=1)
    assert {task.position for task in executor.started} == {1}
    assert write_documents(study, plan, outcomes).techniques[0].status == ("finished", "finished")


def test_a_diverged_run_makes_its_arm_unstable(make_dataset: Make, tmp_path: Path) -> None:
    spec = spec_of({"wild": {"dropout": 0.1}, "tame": {"dropout": 0.2}}, (3, 3))
    _, document = finish(
        tmp_path / "s", spec, make_dataset(), lambda arm, k: "diverged" if (arm, k) == ("wild", 2) else 0.9
    )
    wild, tame = document["techniques"]
    assert (wild["verdict"], wild["reason"]) == ("unstable", "diverged")
    assert wild["scores"][2] is None
    assert wild["mean"] == pytest.approx(np.mean(wild["scores"][:2]))
    assert "diverged" in wild["sentence"]
    assert tame["verdict"] not in ("failed", "unstable")


def test_a_diverged_baseline_leaves_no_verdict(make_dataset: Make, tmp_path: Path) -> None:
    _, document = finish(
        tmp_path / "s",
        spec_of(COSINE),
        make_dataset(),
        lambda arm, k: "diverged" if (arm, k) == ("baseline", 0) else 0.9,
    )
    assert document["techniques"][0]["verdict"] == "unstable"
    assert document["techniques"][0]["reason"] == "baseline diverged"


def test_an_asked_for_stop_is_passed_on(make_dataset: Make, tmp_path: Path) -> None:
    with pytest.raises(Interrupted, match="the same command goes on"):
        finish(tmp_path / "s", spec_of(COSINE), make_dataset(), lambda arm, k: "stopped")


def test_another_image_size_trains_on_the_same_images(tmp_path: Path) -> None:
    from convtrials.data.open import load_dataset

    dataset = load_dataset("glyphs", samples_per_class=20)
    study, plan = prepared(tmp_path / "s", spec_of({"small": {"image_size": 16}}), dataset)
    executor = InProcess(RunTrainer(study, plan, dataset, Execution("cpu", "fp32", True, 1)))
    outcomes = Outcomes(study, plan, None)
    run_to_end(study, plan, outcomes, executor, lambda state, ended: None, workers=1)
    assert study.run(plan.arms[1], 0).dataset.image_shape == (16, 16, 1)
    assert write_documents(study, plan, outcomes).techniques[0].status == ("finished",) * 2


def test_predictions_of_other_images_are_refused(make_dataset: Make, tmp_path: Path) -> None:
    finish(tmp_path / "s", spec_of(COSINE), make_dataset(), lambda arm, k: 0.9)
    study = StudyDirectory(tmp_path / "s")
    run = study.run(study.plan.arms[1], 1)
    arrays = dict(np.load(run.predictions_path))
    arrays["indices"] = arrays["indices"] + 1
    np.savez(run.predictions_path, **arrays)
    with pytest.raises(StudyError, match="of other test images than those of"):
        Outcomes(study, study.plan, None).decide()


def test_survey_tells_every_state(make_dataset: Make, tmp_path: Path) -> None:
    spec = spec_of({"a": {"dropout": 0.1}}, (4, 4))
    study, plan = prepared(tmp_path / "s", spec, make_dataset())
    chances = {("baseline", 0): 0.9, ("baseline", 1): "diverged"}
    executor = Written(study, plan, lambda arm, k: chances[(arm, k)])
    from convtrials.study.execute.executor import RunTask

    for task in (RunTask("baseline", 0), RunTask("baseline", 1)):
        executor.advance([task], 0)
    running, paused, failed = (
        study.run(plan.arms[0], 2),
        study.run(plan.arms[0], 3),
        study.run(plan.arms[1], 0),
    )
    paused.folder.mkdir(parents=True)
    paused.checkpoint_path.write_bytes(b"")
    study.write_failures(failed, study.failures(failed).with_error("out of luck", given_up=True))
    with running.lock():
        live = study.live_path(running)
        live.parent.mkdir()
        live.write_text(json.dumps({"images": 30, "total_images": 120, "images_per_second": 7.0}))
        state = read_status(study, plan, Outcomes(study, plan, None), workers=2)
    told = {(run.arm, run.seed): run.state for run in state.runs}
    assert [told[("baseline", seed)] for seed in range(4)] == ["finished", "diverged", "running", "stopped"]
    assert [told[("a", seed)] for seed in range(4)] == ["failed", "queued", "queued", "queued"]
    assert state.count("queued") == 3
    [now] = [run for run in state.runs if run.state == "running"]
    assert (now.share, now.images_per_second) == (0.25, 7.0)
    assert next(run for run in state.runs if run.state == "failed").errors == ("out of luck",)
    # Each written run took 4 s: 0.75 of one, and four whole ones (paused has no history), two at a time.
    assert state.seconds_left == pytest.approx((0.75 + 4) * 4 / 2)


def test_a_note_of_how_far_a_run_is_is_read_as_it_was_written(tmp_path: Path) -> None:
    study, run = StudyDirectory(tmp_path), Run(tmp_path / "runs" / "a" / "seed0")
    note = LiveNote(study.live_path(run))
    note(Progress(images=30, total_images=120, epoch=2, images_per_second=7.0, val_accuracy=0.5))
    expected = LiveRun(pid=os.getpid(), images=30, total_images=120, images_per_second=7.0, val_accuracy=0.5)
    assert study.live(run) == expected
    before = study.live_path(run).read_text()
    note(Progress(images=60, total_images=120, epoch=3, images_per_second=7.0, val_accuracy=0.5))
    assert study.live_path(run).read_text() == before  # once a second is often enough
    unreadable = LiveNote(study.live_path(run))
    unreadable(
        Progress(images=60, total_images=120, epoch=3, images_per_second=float("inf"), val_accuracy=None)
    )
    assert study.live_path(run).read_text() == before  # and training goes on


def test_a_changed_plan_is_kept_with_the_number_of_ended_runs(make_dataset: Make, tmp_path: Path) -> None:
    finish(tmp_path / "s", spec_of(COSINE), make_dataset(), lambda arm, k: 0.9)
    before = read_json(tmp_path / "s" / "plan.json")["fingerprint"]
    more = {**COSINE, "gelu": {"activation": "gelu"}}
    study, plan = prepared(tmp_path / "s", spec_of(more, (3, 3), margin=0.01), make_dataset())
    log = [json.loads(line) for line in (study.folder / "plan-log.jsonl").read_text().splitlines()]
    assert [entry["finished_runs"] for entry in log] == [0, 4]
    assert log[1]["changes"] == ["margin: 0.005 -> 0.01", "seeds: 2 -> 3", "technique gelu: added"]
    assert log[1]["fingerprint"] == plan.fingerprint != before == log[0]["fingerprint"]
    # The same plan again changes nothing.
    prepared(tmp_path / "s", spec_of(more, (3, 3), margin=0.01), make_dataset())
    assert len((study.folder / "plan-log.jsonl").read_text().splitlines()) == 2


def test_a_changed_recipe_gets_runs_of_its_own(make_dataset: Make, tmp_path: Path) -> None:
    finish(tmp_path / "s", spec_of({"d": {"dropout": 0.1}}), make_dataset(), lambda arm, k: 0.9)
    study, plan = prepared(tmp_path / "s", spec_of({"d": {"dropout": 0.2}}), make_dataset())
    assert not study.run(plan.arms[1], 0).finished
    assert study.run(plan.arms[0], 0).finished
    last = json.loads((study.folder / "plan-log.jsonl").read_text().splitlines()[-1])
    assert last["changes"] == ["d: another recipe or other seeds; its runs start again"]


def test_other_data_and_other_folders_are_refused(make_dataset: Make, tmp_path: Path) -> None:
    prepared(tmp_path / "s", spec_of(COSINE), make_dataset())
    with pytest.raises(StudyError, match="holds a study on other data"):
        prepared(tmp_path / "s", spec_of(COSINE), make_dataset(per_class=20))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep me")
    with pytest.raises(StudyError, match=r"not empty and not a study directory \(letter.txt is there\)"):
        prepared(tmp_path / "mine", spec_of(COSINE), make_dataset())


def test_the_execution_is_kept(make_dataset: Make, tmp_path: Path) -> None:

    study, _ = prepared(tmp_path / "s", spec_of(COSINE), make_dataset())
    known = study.execution
    with pytest.raises(StudyError, match="was started with threads 1 and keeps it for all runs"):
        prepare(study, spec_of(COSINE), make_dataset(), replace(PINNED, threads=2))
    with pytest.raises(StudyError, match=r"channels_last True and keeps .* leave out --channels-last"):
        prepare(
            study,
            spec_of(COSINE),
            make_dataset(),
            replace(PINNED, channels_last=False),
        )
    prepare(study, spec_of(COSINE), make_dataset(), replace(PINNED, workers=2))
    assert study.execution == known


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("[]", "not a plan"),
        ("{", "not a plan"),
        (
            '{"format": 9}',
            "written by a newer convtrials .format 9, this one reads up to 1.; update convtrials",
        ),
    ],
)
def test_a_damaged_plan_is_told_in_a_line(make_dataset: Make, tmp_path: Path, value: str, told: str) -> None:
    study, _ = prepared(tmp_path / "s", spec_of(COSINE), make_dataset())
    study.plan_path.write_text(value)
    with pytest.raises(StudyError, match=told):
        _ = study.plan


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("metric", "f1"),
        ("margin", -1),
        ("seeds", {"min": 0, "max": 3}),
        ("arms", []),
        ("weights", 3),
        ("alpha", True),
    ],
)
def test_a_plan_with_an_impossible_value_is_refused(
    make_dataset: Make, tmp_path: Path, key: str, value: Any
) -> None:
    study, plan = prepared(tmp_path / "s", spec_of(COSINE), make_dataset())
    assert study.plan == plan
    document = read_json(study.plan_path)
    document[key] = value
    study.plan_path.write_text(json.dumps(document))
    with pytest.raises(StudyError, match="not a plan"):
        _ = study.plan


def test_study_from_python(make_dataset: Make, tmp_path: Path) -> None:
    study = Study(BASE, COSINE, seeds=2, metric="log_loss", margin=0.1)
    result = study.run(make_dataset(), tmp_path / "s", workers=1, threads=1, precision="fp32")
    document = result.document()
    assert document["metric"] == "log_loss"
    mean = np.mean(document["baseline"]["scores"])
    losses = [Run(tmp_path / "s" / "runs" / document["baseline"]["slug"] / f"seed{k}") for k in range(2)]
    expected = []
    for run in losses:
        with np.load(run.predictions_path) as arrays:
            expected.append(
                -np.log(arrays["probabilities"][np.arange(len(arrays["labels"])), arrays["labels"]]).mean()
            )
    assert mean == pytest.approx(np.mean(expected), rel=1e-6)
    with pytest.raises(StudyError, match="needs a margin"):
        Study(BASE, COSINE, metric="log_loss").spec()


def test_another_study_from_python_leaves_a_finished_one_alone(make_dataset: Make, tmp_path: Path) -> None:
    dataset, folder = make_dataset(), tmp_path / "s"
    finish(folder, spec_of(COSINE, source="made in memory"), dataset, lambda arm, k: 0.9)
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    other = Study(BASE, {"gelu": {"activation": "gelu"}}, seeds=2, margin=0.01)
    with pytest.raises(StudyError) as caught:
        other.run(dataset, folder)
    assert str(caught.value) == (
        f"{folder}: holds a study with another plan: margin: 0.005 -> 0.01; technique cosine: removed; "
        "technique gelu: added\n"
        "choose another folder; or change the plan, which replaces its verdicts and is recorded: in Python "
        "run(..., change_plan=True), in a terminal `convtrials study run FILE --out DIR`"
    )
    assert before == {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    Study(BASE, COSINE, seeds=2).run(dataset, folder)  # the same study goes on
    with pytest.raises(StudyError, match="seeds: 2 -> 3"):
        Study(BASE, COSINE, seeds=3).run(dataset, folder)


def test_another_study_from_python_takes_the_place_where_asked(make_dataset: Make, tmp_path: Path) -> None:
    dataset, folder = make_dataset(), tmp_path / "s"
    prepared(folder, spec_of(COSINE, source="made in memory"), dataset)
    result = Study(BASE, COSINE, seeds=2, margin=0.1).run(dataset, folder, change_plan=True)
    assert result.document()["margin"] == 0.1
    last = json.loads((folder / "plan-log.jsonl").read_text().splitlines()[-1])
    assert last["changes"] == ["margin: 0.005 -> 0.1"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (
            {"techniques": {"x": {"schedule": "cosin"}}},
            "techniques.x: schedule.name = 'cosin': must be 'constant'",
        ),
        ({"techniques": {"x": {"dropuot": 0.1}}}, "techniques.x: dropuot: unknown key; did you mean dropout"),
        ({"techniques": {"x": {}}}, "changes nothing"),
        ({"seeds": 1}, "seeds: 1: must be a whole number from 2 to"),
        ({"metric": "log_loss"}, "needs a margin"),
        ({"alpha": 1.0}, "must lie between 0 and 1"),
    ],
)
def test_a_mistake_in_a_study_is_told_where_it_is_made(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(StudyError) as caught:
        Study(**{"baseline": BASE, "techniques": COSINE, **wrong})
    assert told in str(caught.value)


@pytest.mark.parametrize("swapped", ["predictions-test.npz", "result.json"])
def test_files_of_another_run_of_the_study_are_refused(
    make_dataset: Make, tmp_path: Path, swapped: str
) -> None:
    dataset = make_dataset()
    # Runs that learn: the report reads no predictions of others.
    arms = tuple(build_arms(BASE.changed({"batch_norm": True, "epochs": 6}), COSINE, most_seeds=2))
    study, plan = prepared(tmp_path / "s", StudySpec(arms=arms, seeds=2), dataset)
    run_study(study, plan, dataset, PINNED, show=lambda state, ended: None)
    warned = {one["kind"] for one in json.loads((study.folder / "verdicts.json").read_text())["warnings"]}
    assert warned.isdisjoint(NOT_LEARNED)
    before = (study.folder / "verdicts.json").read_bytes()
    taken, given = study.run(plan.arms[0], 1), study.run(plan.arms[1], 1)
    own = (given.folder / swapped).read_bytes()
    (given.folder / swapped).write_bytes((taken.folder / swapped).read_bytes())
    for read in (lambda folder: status_reader(folder)(), write_study_documents, build_study_report):
        with pytest.raises(RunError, match=rf"seed1/{swapped}: belongs to another run than run\.json"):
            read(study.folder)
    (given.folder / swapped).write_bytes(own)
    write_study_documents(study.folder)
    assert (study.folder / "verdicts.json").read_bytes() == before


def test_weights_of_another_size_are_refused_before_the_study_begins(
    make_dataset: Make, tmp_path: Path
) -> None:
    start = tmp_path / "start.safetensors"
    save_weights(build_model("alexnet", classes=9, channels=3, image_size=65, width=0.125), start)
    spec = spec_of({**COSINE, "pretrained": {"initial_weights": str(start)}})
    with pytest.raises(StudyError, match=r"pretrained: .* does not fit the model") as caught:
        prepare(StudyDirectory(tmp_path / "s"), spec, make_dataset(), PINNED)
    assert "images above 64 pixels: --image-size 224" in str(caught.value)
    assert not (tmp_path / "s").exists()


def test_weights_are_not_asked_for_again_once_an_arm_has_begun(make_dataset: Make, tmp_path: Path) -> None:
    start, dataset = tmp_path / "start.safetensors", make_dataset()
    save_weights(build_model("alexnet", classes=4, channels=1, image_size=12, width=0.125), start)
    spec = spec_of({"pretrained": {"initial_weights": str(start)}})
    study, plan = prepared(tmp_path / "s", spec, dataset)
    run_study(study, plan, dataset, PINNED, show=lambda state, ended: None)
    start.unlink()
    prepared(tmp_path / "s", spec, dataset)
    with pytest.raises(StudyError, match=r"start\.safetensors: no such file"):
        prepared(tmp_path / "other", spec, dataset)


def test_a_study_from_python_tells_of_each_run(
    make_dataset: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = make_dataset()
    prepared(tmp_path / "s", spec_of(COSINE, source="made in memory"), dataset)
    Study(BASE, COSINE, seeds=2).run(dataset, tmp_path / "s")
    lines = caplog.messages
    assert [line for line in lines if "seed" in line][-1] == "cosine, seed 1: finished; 4 of 4 runs"
    assert not any(line.startswith("epoch") for line in lines)  # the runs' own lines would bury the study's


def test_a_partly_diverged_arm_is_told_in_the_terminal(make_dataset: Make, tmp_path: Path) -> None:
    from convtrials.cli.study import report

    finish(
        tmp_path / "s",
        spec_of(COSINE),
        make_dataset(),
        lambda arm, k: "diverged" if (arm, k) == ("cosine", 1) else 0.9,
    )
    report(tmp_path / "s")
    assert "unstable" in (tmp_path / "s" / "report.html").read_text()


def test_a_plan_is_not_changed_under_a_running_study(make_dataset: Make, tmp_path: Path) -> None:
    study, plan = prepared(tmp_path / "s", spec_of(COSINE), make_dataset())
    with study.running():
        prepared(tmp_path / "s", spec_of(COSINE), make_dataset())  # the same plan helps
        with pytest.raises(StudyError, match="another process is running this study with another plan"):
            prepared(tmp_path / "s", spec_of(COSINE, (3, 3)), make_dataset())
    prepared(tmp_path / "s", spec_of(COSINE, (3, 3)), make_dataset())
    with pytest.raises(StudyError, match="another process has changed the plan"):
        run_to_end(
            study,
            plan,
            Outcomes(study, plan, None),
            Written(study, plan, lambda arm, k: 0.9),
            lambda state, ended: None,
            workers=1,
        )


def test_giving_up_is_repeated_where_another_process_took_it_back(make_dataset: Make, tmp_path: Path) -> None:
    study, plan = prepared(tmp_path / "s", spec_of(COSINE), make_dataset())
    counted_test_images(study, 2000)
    taken_back = []

    def show(state: Any, ended: Any) -> None:
        run = study.run(plan.arms[1], 1)
        failures = study.failures(run)
        if failures.given_up and not taken_back:
            taken_back.append(True)
            study.write_failures(run, failures.model_copy(update={"given_up": False}))

    executor = Written(study, plan, lambda arm, k: None if (arm, k) == ("cosine", 1) else 0.9)
    decision = run_to_end(study, plan, Outcomes(study, plan, None), executor, show, workers=1)
    assert taken_back
    assert decision.results["cosine"].verdict == "failed"


def test_runs_of_something_else_are_refused(make_dataset: Make, tmp_path: Path) -> None:
    finish(tmp_path / "s", spec_of(COSINE), make_dataset(), lambda arm, k: 0.9)
    study = StudyDirectory(tmp_path / "s")
    path = study.run(study.plan.arms[1], 1).folder / "run.json"
    document = read_json(path)
    for key, value, told in (
        ("recipe", "other", "another recipe or seed than the plan's"),
        ("seed", 7, "another recipe or seed than the plan's"),
        ("model source", "edited", "was made from another model source than"),
    ):
        path.write_text(json.dumps({"identity": {**document["identity"], key: value}}))
        with pytest.raises(StudyError, match=told):
            Outcomes(study, study.plan, None).decide()


def test_a_title_alone_is_no_change_of_the_plan(make_dataset: Make, tmp_path: Path) -> None:
    prepared(tmp_path / "s", spec_of(COSINE), make_dataset())
    study, plan = prepared(
        tmp_path / "s", spec_of(COSINE, title="A new title", weights="all"), make_dataset()
    )
    assert study.plan == plan
    assert study.plan.spec.title == "A new title"
    assert len((study.folder / "plan-log.jsonl").read_text().splitlines()) == 1


def test_a_python_study_can_be_repeated_from_its_plan(tmp_path: Path) -> None:
    from convtrials.data.open import load_dataset

    dataset = load_dataset("glyphs", samples_per_class=20, split_seed=3)
    study = StudyDirectory(tmp_path / "s")
    prepared(tmp_path / "s", spec_of(COSINE), dataset)
    result = Study(BASE, COSINE, seeds=2).run(dataset, tmp_path / "s")
    assert result.folder == study.folder
    spec = study.plan.spec
    assert (spec.source, spec.dataset_options["samples_per_class"], spec.dataset_options["split_seed"]) == (
        "glyphs",
        20,
        3,
    )
    assert open_data(spec).fingerprint == dataset.fingerprint


def test_data_that_has_moved_is_found_where_it_is_said_to_be(tmp_path: Path) -> None:
    import shutil

    from convtrials.data.open import load_dataset

    dataset = load_dataset("glyphs", samples_per_class=20)
    arrays = {
        f"{name}_{kind}": values[dataset.indices(split)]
        for name, split in (("train", "train"), ("test", "test"))
        for kind, values in (("images", dataset.images), ("labels", dataset.labels))
    }
    np.savez(tmp_path / "here.npz", **arrays)
    first = load_dataset(tmp_path / "here.npz")
    study, _ = prepared(tmp_path / "s", spec_of(COSINE), first)
    shutil.move(tmp_path / "here.npz", tmp_path / "there.npz")
    moved = load_dataset(tmp_path / "there.npz")
    assert moved.fingerprint == first.fingerprint
    prepared(tmp_path / "s", spec_of(COSINE), moved)
    assert str(study.dataset.to_dict()["source"]).endswith("there.npz")


def test_groups_are_the_units_from_the_directory_alone(make_dataset: Make, tmp_path: Path) -> None:
    plain = make_dataset()
    writers = (np.arange(len(plain)) // 4).astype(np.int32)
    dataset = replace(
        plain,
        groups=writers,
        group_names=tuple(map(str, range(30))),
        group_kind="writer",
        groups_are_sampled=True,
    )
    study, plan = prepared(tmp_path / "s", spec_of(COSINE), dataset)
    result = run_study(study, plan, dataset, PINNED, show=lambda state, ended: None)
    assert result.unit == "writer"
    assert result.test_units == len(set(writers[dataset.indices("test")].tolist()))
    assert write_study_documents(study.folder) == result
    units = study.units()
    assert units is not None
    assert np.array_equal(units, writers[dataset.indices("test")])


def test_damaged_documents_are_told_in_a_line(make_dataset: Make, tmp_path: Path) -> None:
    study, _ = prepared(tmp_path / "s", spec_of(COSINE), make_dataset())
    for name, told in (
        ("execution.json", "device is missing"),
        ("dataset.json", "fingerprint is missing"),
    ):
        kept = (study.folder / name).read_text()
        (study.folder / name).write_text("{}")
        with pytest.raises(StudyError, match=told):
            _ = (study.execution, study.dataset)
        (study.folder / name).write_text(kept)


def test_wall_time_counts_processes_at_the_same_time_once(tmp_path: Path) -> None:
    (tmp_path / "sessions").mkdir()
    for name, started, seconds in (
        ("a", 100.0, 50.0),
        ("b", 120.0, 10.0),
        ("c", 140.0, 30.0),
        ("d", 500.0, 5.0),
    ):
        document = json.dumps({"started": started, "seconds": seconds})
        (tmp_path / "sessions" / f"{name}.json").write_text(document)
    assert StudyDirectory(tmp_path).wall_seconds() == pytest.approx(70 + 5)
