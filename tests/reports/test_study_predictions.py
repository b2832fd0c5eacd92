"""What several runs' predictions say together."""

import weakref

import numpy as np
import pytest
from fabricated_study import write_study
from scipy.stats import norm
from sklearn.metrics import confusion_matrix, f1_score, roc_auc_score

from convtrials.core.errors import ConvtrialsError, StudyError
from convtrials.reports.study.class_pairs import pair_changes
from convtrials.reports.study.predictions import ArmPredictions, TestImages, gather_predictions
from convtrials.reports.study.record import read_study
from convtrials.training.run_directory import Run


@pytest.fixture
def study(tmp_path):
    return read_study(write_study(tmp_path / "study", seeds=4, classes=5, images=150))


def gather(study, arm, **options):
    return gather_predictions(arm, study.class_names, TestImages(), **{"curves": True, **options})


def test_means_over_runs_are_those_of_scikit_learn(study):
    found = gather(study, study.techniques[0])
    runs = [np.load(run.run.folder / "predictions-test.npz") for run in study.techniques[0].runs]
    tables = [confusion_matrix(run["labels"], run["probabilities"].argmax(axis=1)) for run in runs]
    np.testing.assert_allclose(found.confusion, np.mean(tables, axis=0))
    np.testing.assert_allclose(found.confusion_variance, np.var(tables, axis=0, ddof=1))
    f1 = [f1_score(run["labels"], run["probabilities"].argmax(axis=1), average=None) for run in runs]
    np.testing.assert_allclose(found.f1, f1)
    areas = [
        np.mean([roc_auc_score(run["labels"] == k, run["probabilities"][:, k]) for k in range(5)])
        for run in runs
    ]
    np.testing.assert_allclose(found.areas, areas)
    assert found.support.tolist() == [30] * 5
    assert found.true_rates.shape == (4, len(found.false_rates))


def test_runs_are_read_one_at_a_time(study, monkeypatch):
    """Beside the one being read, only labels and indices of the first stay."""
    alive = weakref.WeakSet()
    most = []
    read = Run.read_predictions

    def watched(run):
        found = read(run)
        alive.add(found)
        most.append(len(alive))
        return found

    monkeypatch.setattr(Run, "read_predictions", watched)
    gather(study, study.baseline)
    assert len(most) == 4
    assert max(most) <= 2


def test_an_arm_without_finished_runs_has_nothing_to_say(tmp_path):
    lost = {("gelu", 0): "diverged", ("gelu", 1): "diverged"}
    study = read_study(write_study(tmp_path / "study", seeds=2, images=30, lost=lost))
    assert gather(study, study.techniques[1]) is None


def test_diverged_runs_are_left_out(tmp_path):
    study = read_study(write_study(tmp_path / "study", seeds=3, images=60, lost={("gelu", 1): "diverged"}))
    assert gather(study, study.techniques[1]).runs == 2


def test_one_class_has_no_curve(tmp_path):
    folder = write_study(tmp_path / "study", seeds=2, classes=4, images=60)
    study = read_study(folder)
    for run in (run for arm in study.arms for run in arm.runs):
        path = run.run.folder / "predictions-test.npz"
        stored = dict(np.load(path))
        np.savez(path, **{**stored, "labels": np.zeros(60, dtype=np.int64)})
    found = gather(study, study.baseline)
    assert len(found.areas) == found.true_rates.size == 0
    assert np.isnan(found.f1[0, 1:]).all()


def test_other_test_images_are_refused(study):
    path = study.techniques[0].runs[2].run.folder / "predictions-test.npz"
    stored = dict(np.load(path))
    np.savez(path, **{**stored, "indices": stored["indices"] + 1})
    with pytest.raises(StudyError, match=r"seed2.*other test images"):
        gather(study, study.techniques[0])


@pytest.mark.parametrize("content", [None, b"PK\x03\x04 cut off"])
def test_missing_and_damaged_predictions_are_told(study, content):
    path = study.baseline.runs[1].run.folder / "predictions-test.npz"
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(ConvtrialsError, match=r"seed1/predictions-test\.npz") as caught:
        gather(study, study.baseline)
    assert len(str(caught.value).splitlines()) == 1


def test_another_number_of_classes_is_refused(study):
    with pytest.raises(StudyError, match=r"5 classes, dataset\.json has 3"):
        gather_predictions(study.baseline, ("a", "b", "c"), TestImages(), curves=False)


def arm_with(tables):
    stack = np.array(tables, dtype=float)
    variance = stack.var(axis=0, ddof=1) if len(stack) > 1 else np.zeros_like(stack[0])
    no_curves = {"f1": np.empty((len(stack), 0)), "false_rates": np.empty(0), "areas": np.empty(0)}
    return ArmPredictions(
        arm=None, runs=len(stack), support=stack[0].sum(axis=1), confusion=stack.mean(axis=0),
        confusion_variance=variance, true_rates=np.empty((len(stack), 0)), **no_curves,
    )  # fmt: skip


def test_pairs_are_ranked_by_their_change():
    before = arm_with([[[50, 30, 0], [4, 90, 6], [0, 5, 95]]] * 2)
    after = arm_with([[[78, 2, 0], [9, 85, 6], [0, 4, 96]], [[78, 2, 0], [7, 87, 6], [0, 4, 96]]])
    pairs = pair_changes(before, after)
    assert [(pair.true, pair.answer, pair.change) for pair in pairs] == [(0, 1, -28), (1, 0, 4), (2, 1, -1)]
    # Equal runs: the variance is that of a count.
    assert pairs[0].error == pytest.approx(np.sqrt(30 / 2 + 2 / 2))
    assert pairs[1].error == pytest.approx(np.sqrt(4 / 2 + 8 / 2))
    # Four pairs have mistakes: (0, 1), (1, 0), (1, 2), (2, 1).
    reach = norm.ppf(1 - 0.05 / 4 / 2)
    assert [pair.clear for pair in pairs] == [abs(pair.change) > reach * pair.error for pair in pairs]
    assert [pair.clear for pair in pairs] == [True, False, False]


def test_a_single_run_leaves_chance_unknown():
    pairs = pair_changes(arm_with([[[1, 9], [0, 10]]]), arm_with([[[10, 0], [0, 10]]]))
    assert [(pair.change, pair.error, pair.clear) for pair in pairs] == [(-9, 0, False)]
