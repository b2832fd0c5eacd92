"""One run from beginning to end: what is kept, what is written, what is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, log_loss
from small_runs import PINNED, SMALL, assert_same_weights, weights

from convtrials.core.errors import RunError
from convtrials.data.batches import Batches
from convtrials.data.dataset import Dataset
from convtrials.models.registry import build_model
from convtrials.models.weights import WeightsError, save_weights
from convtrials.training.engine.execution import Execution
from convtrials.training.engine.predict import predict_probabilities, validation_metrics
from convtrials.training.engine.train import train
from convtrials.training.recipe.recipe import Recipe
from convtrials.training.run_directory import Run, default_run_folder


def test_a_run_learns_and_leaves_everything_behind(
    train_small: Any, make_dataset: Callable[..., Dataset]
) -> None:
    run = train_small({"epochs": 8, "dropout": 0.0})
    assert run.result.status == "finished"
    assert run.result.test_accuracy > 0.9
    assert (run.result.kept, run.result.best_epoch, run.result.steps) == ("last", 8, 40)
    assert [entry.epoch for entry in run.read_history()] == list(range(1, 9))
    assert run.read_history()[-1].train_loss < run.read_history()[0].train_loss
    assert run.recipe == Recipe(**SMALL).changed({"epochs": 8, "dropout": 0.0})
    assert run.execution == PINNED
    assert torch.__version__.startswith(run.environment.packages["torch"])  # a CUDA build adds "+cu124"
    assert run.dataset.counts.to_dict() == {"train": 72, "val": 24, "test": 24}
    with np.load(run.predictions_path, allow_pickle=False) as stored:
        assert stored["probabilities"].shape == (24, 4)
        np.testing.assert_allclose(stored["probabilities"].sum(axis=1), 1, rtol=1e-5)
        np.testing.assert_array_equal(stored["indices"], make_dataset().indices("test"))
        right = (stored["probabilities"].argmax(axis=1) == stored["labels"]).mean()
    assert right == run.result.test_accuracy
    assert not run.checkpoint_path.exists()


def test_predictions_are_those_of_the_weights_on_disk(
    train_small: Any, make_dataset: Callable[..., Dataset]
) -> None:
    run, data = train_small({"ema": 0.5}), make_dataset()
    model = build_model("alexnet", classes=4, channels=1, image_size=12, width=0.125)
    model.load_state_dict(weights(run))
    probabilities, _ = predict_probabilities(model, Batches(data, "test"))
    with np.load(run.predictions_path) as stored:
        np.testing.assert_allclose(stored["probabilities"], probabilities, atol=1e-6)


def test_the_same_run_twice_is_the_same_bits(train_small: Any) -> None:
    changes = {"augment": {"degrees": 10, "elastic_alpha": 10, "mixup": 0.2}}
    assert_same_weights(train_small(changes), train_small(changes))


def test_another_seed_is_another_run(train_small: Any) -> None:
    one, other = weights(train_small()), weights(train_small(seed=1))
    assert not any(torch.equal(one[name], other[name]) for name in one)


def test_a_seed_of_numpy_is_the_number_that_it_is(train_small: Any) -> None:
    run = train_small(seed=np.int64(7))
    assert_same_weights(run, train_small(seed=7))
    assert run.identity.seed == run.result.seed == 7


@pytest.mark.parametrize("seed", [2**63, -(2**63), 10**30])
def test_a_seed_that_no_file_could_give_back_is_refused_before_anything_is_written(
    train_small: Any, tmp_path: Path, seed: int
) -> None:
    with pytest.raises(RunError, match=r"must be less than 2\*\*63"):
        train_small(seed=seed, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_other_uses_of_torchs_generator_change_nothing(train_small: Any) -> None:
    one = train_small()
    torch.manual_seed(99)
    torch.rand(1000)
    assert_same_weights(one, train_small())


def test_test_images_decide_nothing(train_small: Any, make_dataset: Callable[..., Dataset]) -> None:
    data = make_dataset()
    images = data.images.copy()
    images[data.split == 2] = 0
    changes = {"early_stopping": {"patience": 1}, "schedule": "plateau", "epochs": 4}
    blank = replace(data, images=images)
    assert_same_weights(train_small(changes), train_small(changes, dataset=blank))


def test_fractions_of_an_epoch(train_small: Any) -> None:
    run = train_small({"epochs": 1.5})  # 5 steps an epoch
    assert run.result.steps == 8
    assert [entry.step for entry in run.read_history()] == [5, 8]


def test_early_stopping_keeps_the_best_weights(
    train_small: Any, make_dataset: Callable[..., Dataset]
) -> None:
    # a rate at which the loss soon jumps about, so that the last epoch is not the best
    changes = {"epochs": 30, "optimizer": {"name": "adam", "lr": 0.02}, "early_stopping": {"patience": 2}}
    run = train_small(changes)
    losses = [entry.val_loss for entry in run.read_history()]
    best = int(np.argmin(losses)) + 1
    assert run.result.stopped_early
    assert run.result.kept == "best"
    assert run.result.best_epoch == best < len(losses) == best + 2
    model = build_model("alexnet", classes=4, channels=1, image_size=12, width=0.125)
    model.load_state_dict(weights(run))
    metrics = validation_metrics(*predict_probabilities(model, Batches(make_dataset(), "val")))
    assert metrics["val_loss"] == pytest.approx(min(losses), rel=1e-4)


def test_min_delta_counts_small_gains_as_none(train_small: Any) -> None:
    run = train_small({"epochs": 9, "early_stopping": {"patience": 2, "min_delta": 1000}})
    assert len(run.read_history()) == 3


def test_the_average_of_weights_is_what_it_says(train_small: Any) -> None:
    # with one step there is nothing to average yet; with two the average is a*w1 + (1-a)*w2
    first = weights(train_small({"epochs": 0.2}))
    second = weights(train_small({"epochs": 0.4}))
    average = weights(train_small({"epochs": 0.4, "ema": 0.75}))
    for name in average:
        torch.testing.assert_close(
            average[name], 0.75 * first[name] + 0.25 * second[name], rtol=1e-5, atol=1e-7
        )


def test_batch_norm_survives_a_lone_last_image(
    train_small: Any, make_dataset: Callable[..., Dataset]
) -> None:
    data = make_dataset(per_class=30)
    split = data.split.copy()
    split[np.flatnonzero(split == 0)[65:]] = 1  # 65 training images: four batches of 16 and one image
    run = train_small({"model": "vgg11-bn", "epochs": 1}, dataset=replace(data, split=split))
    assert run.result.status == "finished"
    assert run.read_history()[0].step == 4  # the last step takes 17


def test_divergence_is_an_outcome(train_small: Any) -> None:
    run = train_small({"optimizer": {"name": "sgd", "lr": 900.0}})
    assert run.result.status == "diverged"
    assert run.result.diverged_at >= 0
    assert "lower optimizer.lr" in run.result.advice
    assert not run.predictions_path.exists()
    assert train_small({"optimizer": {"name": "sgd", "lr": 900.0}}, out=run.folder).result == run.result


def test_a_finished_run_is_returned_as_it_is(train_small: Any) -> None:
    run = train_small()
    before = run.weights_path.stat().st_mtime_ns
    assert train_small(out=run.folder).result == run.result
    assert run.weights_path.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("changes", "seed", "told"), [({"epochs": 3}, 0, "another recipe"), ({}, 1, "another seed")]
)
def test_a_run_directory_is_never_overwritten(
    train_small: Any, changes: dict[str, Any], seed: int, told: str
) -> None:
    run = train_small()
    with pytest.raises(RunError, match=told):
        train_small(changes, seed=seed, out=run.folder)


def test_other_data_in_the_same_directory_is_refused(
    train_small: Any, make_dataset: Callable[..., Dataset]
) -> None:
    run = train_small()
    with pytest.raises(RunError, match="another dataset"):
        train_small(out=run.folder, dataset=make_dataset(seed=5))


def test_a_folder_with_other_things_is_refused(train_small: Any, tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").write_text("months of work")
    with pytest.raises(RunError, match=r"not empty.*thesis\.docx"):
        train_small(out=tmp_path)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["thesis.docx"]


def test_a_place_that_cannot_be_written_is_told(train_small: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        train_small(out=tmp_path / "file" / "run")


def test_splits_are_needed(train_small: Any, make_dataset: Callable[..., Dataset]) -> None:
    data = make_dataset()
    with pytest.raises(RunError, match="no images in the val split"):
        train_small(dataset=replace(data, split=np.zeros(len(data), np.uint8)))


def test_without_test_images_there_are_no_predictions(
    train_small: Any, make_dataset: Callable[..., Dataset]
) -> None:
    data = make_dataset()
    run = train_small(dataset=replace(data, split=np.minimum(data.split, 1)))
    assert run.result.status == "finished"
    assert run.result.test_accuracy is None
    assert not run.predictions_path.exists()


def test_two_processes_do_not_train_one_run(train_small: Any, tmp_path: Path) -> None:
    with Run(tmp_path / "run").lock(), pytest.raises(RunError, match="another process"):
        train_small(out=tmp_path / "run")


def test_the_execution_is_kept(
    train_small: Any, tmp_path: Path, make_dataset: Callable[..., Dataset]
) -> None:
    out = tmp_path / "run"
    run = train_small(out=out, execution=Execution("cpu", "bf16", True, 1))
    (out / "result.json").unlink()  # as if killed just before the end
    with pytest.raises(RunError, match="started with precision bf16 and keeps it"):
        train(run.recipe, make_dataset(), out=out, precision="fp32")
    again = train(run.recipe, make_dataset(), out=out)
    assert again.execution.precision == "bf16"


def test_tensorboard_shows_the_curves(train_small: Any) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = train_small({"epochs": 3})
    events = EventAccumulator(str(run.folder))
    events.Reload()
    shown = [(event.step, event.value) for event in events.Scalars("loss/val")]
    assert [step for step, _ in shown] == [entry.step for entry in run.read_history()]
    assert [value for _, value in shown] == pytest.approx([entry.val_loss for entry in run.read_history()])
    assert {"loss/train", "accuracy/val", "learning_rate"} <= set(events.Tags()["scalars"])


def test_validation_metrics_are_scikit_learns() -> None:
    draws = np.random.default_rng(0)
    probabilities = draws.dirichlet(np.ones(6), 200).astype(np.float32)
    labels = draws.integers(0, 5, 200)  # class 5 does not occur
    found = validation_metrics(probabilities, labels)
    assert found["val_loss"] == pytest.approx(log_loss(labels, probabilities, labels=range(6)), rel=1e-5)
    expected = f1_score(labels, probabilities.argmax(axis=1), average=None, labels=range(5)).mean()
    assert found["val_macro_f1"] == pytest.approx(expected)


def test_runs_are_named_after_what_they_are(
    monkeypatch: pytest.MonkeyPatch, make_dataset: Callable[..., Dataset]
) -> None:
    monkeypatch.delenv("CONVTRIALS_RUNS", raising=False)
    recipe, data = Recipe(model="my.nets:make"), make_dataset()
    folder = default_run_folder(recipe, data, 3)
    assert folder.parts[0] == "runs"
    assert folder.name.startswith("my.nets-make-patterns-")
    assert folder.name.endswith("-seed3")
    assert len({folder, default_run_folder(recipe.changed({"epochs": 3}), data, 3)}) == 2
    assert folder != default_run_folder(recipe, make_dataset(seed=5), 3)


def test_leftovers_of_killed_writers_are_removed(train_small: Any, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    for name in (".checkpoint.safetensors.0123456789ab.tmp", ".tmpAbC123"):
        (tmp_path / "run" / name).write_bytes(b"half")
    run = train_small(out=tmp_path / "run")
    assert sorted(path.name for path in run.folder.iterdir() if path.name.startswith(".")) == [".lock"]


def test_the_callers_torch_is_left_as_it_was(train_small: Any) -> None:
    torch.set_num_threads(2)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    train_small()
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_come_in_the_layout_of_the_execution(
    train_small: Any,
    make_dataset: Callable[..., Dataset],
    monkeypatch: pytest.MonkeyPatch,
    channels: int,
    channels_last: bool,
) -> None:
    seen = []
    original = torch.nn.Conv2d.forward

    def forward(self: torch.nn.Conv2d, images: torch.Tensor) -> torch.Tensor:
        outputs = original(self, images)
        seen.append(outputs.stride(1) == 1)
        return outputs

    monkeypatch.setattr(torch.nn.Conv2d, "forward", forward)
    train_small(
        {"epochs": 0.2},
        dataset=make_dataset(channels=channels),
        execution=Execution("cpu", "fp32", channels_last, 1),
    )
    assert seen
    assert set(seen) == {channels_last}


def test_a_full_disk_is_told_in_a_line(
    train_small: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("convtrials.training.engine.checkpoint.save_tree", full)
        with pytest.raises(RunError, match="No space left on device\nthe same command goes on"):
            train_small(out=tmp_path / "r")
    assert_same_weights(train_small(out=tmp_path / "r"), train_small())


def test_another_execution_than_a_finished_runs_is_refused(train_small: Any) -> None:
    run = train_small()
    with pytest.raises(RunError, match="started with threads 1"):
        train_small(out=run.folder, execution=replace(PINNED, threads=2))


def test_a_crop_that_does_not_fit_is_refused_before_anything_is_written(
    train_small: Any, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match=r"augment\.crop = 12: must be less than the images' 12 pixels"):
        train_small({"augment": {"crop": 12}}, out=tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_initial_weights_count_by_content(train_small: Any, tmp_path: Path) -> None:
    first, second = train_small(), train_small(seed=1)
    start = tmp_path / "start.safetensors"
    start.write_bytes(first.weights_path.read_bytes())
    changes = {"initial_weights": str(start), "epochs": 1}
    run = train_small(changes, out=tmp_path / "r")
    start.write_bytes(second.weights_path.read_bytes())
    with pytest.raises(RunError, match="another initial weights"):
        train_small(changes, out=tmp_path / "r")
    start.unlink()
    assert train_small(changes, out=tmp_path / "r").result == run.result


@pytest.mark.parametrize(
    ("made", "changes", "told"),
    [
        ({"image_size": 65}, {"width": 0.125}, "images above 64 pixels: --image-size 224"),
        ({"image_size": 12, "width": 1.0}, {}, "width 1: --width 1 (in a recipe width: 1)"),
        (
            {"image_size": 65, "width": 1.0},
            {},
            "images above 64 pixels and width 1: --image-size 224 --width 1 (in a recipe image_size: 224, width: 1)",
        ),
    ],
)
def test_weights_of_another_size_are_refused_before_anything_is_measured_or_written(
    train_small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Any, changes: Any, told: str
) -> None:
    monkeypatch.setattr(
        "convtrials.training.engine.train.autotune_execution", lambda *a, **k: pytest.fail("probed")
    )
    start = tmp_path / "start.safetensors"
    save_weights(build_model("alexnet", **{"classes": 9, "channels": 3, "width": 0.125, **made}), start)
    with pytest.raises(WeightsError, match=r"does not fit the model: features\.0\.") as caught:
        train_small({"initial_weights": str(start), **changes}, out=tmp_path / "r", execution=None)
    assert str(caught.value).splitlines()[1].startswith(f"these weights are for {told}")
    assert not (tmp_path / "r").exists()


def test_small_weights_for_large_images(make_dataset: Callable[..., Dataset], tmp_path: Path) -> None:
    start = tmp_path / "start.safetensors"
    save_weights(build_model("alexnet", classes=4, channels=1, image_size=28, width=0.125), start)
    recipe = Recipe(width=0.125, initial_weights=str(start))
    with pytest.raises(WeightsError, match="these weights are for images up to 64 pixels: --image-size 64"):
        train(recipe, make_dataset(size=70), out=tmp_path / "r")


def test_weights_that_fit_in_no_way_get_no_advice(train_small: Any, tmp_path: Path) -> None:
    start = tmp_path / "start.safetensors"
    save_weights(build_model("vgg11", classes=4, channels=1, image_size=28, width=0.125), start)
    with pytest.raises(WeightsError) as caught:
        train_small({"initial_weights": str(start)}, out=tmp_path / "r")
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "r").exists()


def test_damaged_run_files_are_told_in_a_line(train_small: Any) -> None:
    run = train_small()
    (run.folder / "result.json").write_text("{")
    with pytest.raises(RunError, match="not valid JSON"):
        _ = run.result
    with pytest.raises(RunError, match="no such run directory"):
        _ = Run(run.folder / "nothing").recipe
    (run.folder / "run.json").write_text("{}")
    with pytest.raises(RunError, match=r"run\.json: identity is missing"):
        _ = run.identity
