"""A published copy is small, says what the study says, can be judged again, and names nothing of the machine."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_studies import Written, counted_test_images, prepared, spec_of

from convtrials.core.errors import StudyError
from convtrials.core.files import read_json, write_json
from convtrials.data.dataset import Dataset
from convtrials.study.directory import StudyDirectory
from convtrials.study.execute.scheduler import run_to_end
from convtrials.study.publish import publish, published_plan, without_paths
from convtrials.study.published_study import PublishedStudy, is_published
from convtrials.study.results.scores import Outcomes
from convtrials.study.run_study import write_study_documents

Make = Callable[..., Dataset]
TECHNIQUES: dict[str, Any] = {"good": {"schedule": "cosine"}, "near": {"schedule": "step"}}
ACCURACY = {"baseline": 0.9, "good": 0.97, "near": 0.905}


def written(folder: Path, make_dataset: Make, groups: np.ndarray | None = None, **rest: Any) -> Path:
    """Write a small study, with a picture that its report might have drawn."""
    study, plan = prepared(folder, spec_of(TECHNIQUES, (2, 3), **rest), make_dataset())
    counted_test_images(study, 2000)
    if groups is not None:
        write_json(
            study.folder / "dataset.json",
            {**study.shown("dataset.json"), "grouped": True, "group_kind": "writer"},
        )
        np.save(study.units_path, groups)
    executor = Written(study, plan, lambda arm, position: ACCURACY[arm])
    run_to_end(study, plan, Outcomes(study, plan, groups), executor, lambda state, ended: None, workers=1)
    write_study_documents(folder)
    (folder / "figures").mkdir()
    (folder / "figures" / "forest.png").write_bytes(b"picture")
    (folder / "figures" / "forest.csv").write_text("name\n")
    return folder


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, make_dataset: Make) -> Path:
    folder = written(tmp_path_factory.mktemp("study") / "study", make_dataset)
    (folder / "study.yaml").write_text(
        f"# see https://example.org/a/b\ndataset: {folder}/images\nbaseline: {{recipe: ../recipes/base.yaml}}\n"
    )
    return folder


@pytest.fixture
def copy(study: Path, tmp_path: Path) -> Path:
    publish(study, tmp_path / "copy")
    return tmp_path / "copy"


def test_it_says_what_the_study_says(study: Path, copy: Path) -> None:
    for name in ("verdicts.json", "costs.json", "plan.json"):
        assert read_json(copy / name) == read_json(study / name), name
    assert (copy / "runs.csv").read_text() == (study / "runs.csv").read_text()
    assert (copy / "forest.png").read_bytes() == b"picture"


def test_it_is_judged_again_to_the_same_verdicts(copy: Path) -> None:
    found = PublishedStudy.read(copy)
    assert found.judged.verdicts.to_dict() == found.verdicts.to_dict()
    assert found.judged.costs == found.costs
    assert found.changed_verdicts() == []


def test_a_verdict_that_was_changed_is_named(copy: Path) -> None:
    document = read_json(copy / "verdicts.json")
    document["techniques"][0]["verdict"] = "worse"
    write_json(copy / "verdicts.json", document)
    assert PublishedStudy.read(copy).changed_verdicts() == ["good"]


def test_nothing_of_the_machine_is_in_it(study: Path, copy: Path) -> None:
    times = re.compile(r"\d{4}-\d\d-\d\dT|\d\d:\d\d:\d\d")
    for path in copy.iterdir():
        if path.suffix in (".json", ".yaml", ".csv"):
            text = path.read_text(encoding="utf-8")
            assert str(study.parent) not in text, path.name
            assert str(Path.cwd()) not in text, path.name
            assert not times.search(text), path.name
    assert not [*copy.glob("**/*.safetensors")]
    assert "dataset: images" in (copy / "study.yaml").read_text()
    assert "https://example.org/a/b" in (copy / "study.yaml").read_text()
    assert "../recipes/base.yaml" in (copy / "study.yaml").read_text()


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("dataset: /home/x/data/set", "dataset: set"),
        ("dataset: {path: ~/data/set, image_size: 28}", "dataset: {path: set, image_size: 28}"),
        (r"dataset: C:\data\set", "dataset: set"),
        ("x: ../recipes/base.yaml", "x: ../recipes/base.yaml"),
        ("# and/or, https://a.org/b", "# and/or, https://a.org/b"),
        ("dataset: '/home/ann smith/my data/set'  # here", "dataset: 'set'  # here"),
        ("dataset: /home/ann smith/set # and more", "dataset: set # and more"),
        ("dataset: file:///home/ann/set", "dataset: set"),
        ("dataset: ~ann/set", "dataset: set"),
        (r"dataset: \\server\ann\set", "dataset: set"),
        ("from /home/ann/a to /home/ann/b", "from a to b"),
    ],
)
def test_paths_are_cut_to_their_names(text: str, cut: str) -> None:
    assert without_paths(text) == cut


def test_of_a_file_of_weights_its_name_stays(make_dataset: Make, tmp_path: Path) -> None:
    _, plan = prepared(tmp_path / "study", spec_of(TECHNIQUES), make_dataset())
    arms = [
        replace(arm, recipe=arm.recipe.model_copy(update={"initial_weights": "/home/x/start.pth"}))
        for arm in plan.arms
    ]
    plan = replace(plan, spec=plan.spec.model_copy(update={"arms": tuple(arms), "source": "/home/x/images"}))
    document = published_plan(plan)
    assert {arm["recipe"]["initial_weights"] for arm in document["arms"]} == {"start.pth"}
    assert document["dataset"]["name"] == "images"


def test_log_loss_and_groups_can_be_judged_again(make_dataset: Make, tmp_path: Path) -> None:
    groups = np.arange(2000) // 20
    folder = written(tmp_path / "study", make_dataset, groups, metric="log_loss", margin=0.05)
    publish(folder, tmp_path / "copy")
    found = PublishedStudy.read(tmp_path / "copy")
    assert found.verdicts.unit == "writer"
    assert found.judged.verdicts.test_units == 100
    for now, then in zip(found.judged.verdicts.techniques, found.verdicts.techniques, strict=True):
        assert (now.verdict, now.seeds, now.secondary_metrics) == (
            then.verdict,
            then.seeds,
            then.secondary_metrics,
        )
        for key in ("difference", "low", "high", "p_adjusted"):
            assert getattr(now, key) == pytest.approx(getattr(then, key), rel=1e-5), key


def test_a_later_copy_takes_the_place_of_an_earlier_one(study: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy"
    publish(study, target)
    (target / "notes.md").write_text("mine")
    publish(study, target, pictures=False)
    assert not (target / "forest.png").exists()
    assert (target / "notes.md").read_text() == "mine"
    assert is_published(target)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy"]


def test_a_folder_with_something_else_is_left_alone(study: Path, copy: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "letter.txt").write_text("dear")
    with pytest.raises(StudyError, match=r"not empty \(letter.txt is there\)"):
        publish(study, other)
    write_json(copy / "how.json", {**read_json(copy / "how.json"), "plan": "another"})
    with pytest.raises(StudyError, match=r"a study with another plan \(another, not "):
        publish(study, copy)
    with pytest.raises(StudyError, match="is a published copy itself"):
        publish(copy, tmp_path / "again")


def test_a_study_without_runs_has_nothing_to_publish(make_dataset: Make, tmp_path: Path) -> None:
    study, _ = prepared(tmp_path / "study", spec_of(TECHNIQUES), make_dataset())
    with pytest.raises(StudyError, match="no finished run"):
        publish(study.folder, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_changes_of_the_plan_go_along(study: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(study, changed)
    directory = StudyDirectory(changed)
    directory.write_plan(directory.plan, ["margin: 0.01 -> 0.005"])
    publish(changed, tmp_path / "copy")
    remarks = PublishedStudy.read(tmp_path / "copy").how.plan_remarks
    assert [one.endswith("ended runs: margin: 0.01 -> 0.005") for one in remarks] == [True]


@pytest.mark.parametrize(
    ("name", "damage", "match"),
    [
        ("plan.json", lambda text: text.replace("0.005", "0.5"), "plan.json: was changed"),
        (
            "runs.csv",
            lambda text: text.replace("good,0,", "good,7,"),
            "good, seed 7 is finished, which answers.npz",
        ),
        ("runs.csv", lambda text: text.replace("good,0,", "best,0,"), "not a run of this study"),
        (
            "how.json",
            lambda text: text.replace('"machine"', '"machines"'),
            "how.json: machine is missing",
        ),
        ("histories.csv", lambda text: text.replace("baseline,0,", "baseline,x,"), "histories.csv line 2"),
        (
            "histories.csv",
            lambda text: text.replace("val_accuracy", "other"),
            "line 2: val_accuracy is missing",
        ),
        (
            "histories.csv",
            lambda text: text.replace("baseline,0,1,", f"baseline,0,{'[' * 3000},"),
            "histories.csv line 2",
        ),
        ("histories.csv", lambda text: text + '"' + "x" * 200_000, "histories.csv line .*: field larger"),
        ("runs.csv", lambda text: text.replace("seed", '"' + "x" * 200_000), "runs.csv line 1: field larger"),
    ],
)
def test_damaged_files_are_refused_by_name(
    copy: Path, name: str, damage: Callable[[str], str], match: str
) -> None:
    (copy / name).write_text(damage((copy / name).read_text()))
    with pytest.raises(StudyError, match=match):
        PublishedStudy.read(copy)


def test_damaged_answers_are_refused_by_name(copy: Path) -> None:
    (copy / "answers.npz").write_bytes(b"PK")
    with pytest.raises(StudyError, match=r"answers.npz: not readable"):
        PublishedStudy.read(copy)


def test_answers_that_lack_an_array_or_do_not_fit_are_refused(copy: Path) -> None:
    path = copy / "answers.npz"
    arrays = dict(np.load(path))
    np.savez(path, **{**arrays, "labels": arrays["labels"][1:]})
    with pytest.raises(StudyError, match=r"answers.npz: its arrays do not fit together"):
        PublishedStudy.read(copy)
    np.savez(path, **{name: array for name, array in arrays.items() if name != "labels"})
    with pytest.raises(StudyError, match=r"answers.npz: array 'labels' is missing"):
        PublishedStudy.read(copy)


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        ("answers", lambda array: np.full(array.shape, 300), "answers must be from 0 to"),
        ("labels", lambda array: array.astype(np.int64) - 1000, "labels must be from 0 to"),
        ("labels", lambda array: np.full(array.shape, np.nan), "do not fit together"),
        ("seeds", lambda array: array.astype(str), "do not fit together"),
        ("secondary_names", lambda array: array[:-1], "do not fit together"),
        ("secondary_names", lambda array: np.stack([array, array]), "do not fit together"),
        ("secondary_metrics", lambda array: array.astype(str), "do not fit together"),
        ("secondary_metrics", lambda array: np.array(1.0), "do not fit together"),
    ],
)
def test_arrays_of_other_kinds_are_refused(
    copy: Path, name: str, change: Callable[[Any], Any], match: str
) -> None:
    arrays = dict(np.load(copy / "answers.npz"))
    np.savez(copy / "answers.npz", **{**arrays, name: change(arrays[name])})
    with pytest.raises(StudyError, match=f"answers.npz: .*{match}"):
        PublishedStudy.read(copy)


def test_a_study_whose_class_names_are_not_those_of_its_runs_is_refused(study: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(study, other)
    document = read_json(other / "dataset.json")
    write_json(other / "dataset.json", {**document, "class_names": document["class_names"][1:]})
    with pytest.raises(StudyError, match=r"dataset.json: names 3 classes; runs answer with 4"):
        publish(other, tmp_path / "copy")


def test_what_else_a_study_says_of_its_machine_stays_there(study: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(study, other)
    environment = {"processor": "A", "hostname": "anns-laptop", "folder": "/home/ann", "platform": "Linux-6"}
    write_json(other / "environment.json", environment)
    publish(other, tmp_path / "copy")
    assert read_json(tmp_path / "copy" / "how.json")["machine"] == {"processor": "A"}


def test_a_copy_without_its_table_of_runs_is_refused(copy: Path) -> None:
    (copy / "runs.csv").unlink()
    with pytest.raises(StudyError, match=r"runs.csv: not readable"):
        PublishedStudy.read(copy)


def test_no_pickle_is_needed(copy: Path) -> None:
    with np.load(copy / "answers.npz", allow_pickle=False) as stored:
        assert stored["answers"].dtype == np.uint8
        assert stored["answers"].shape == (len(stored["seeds"]), len(stored["labels"]))
