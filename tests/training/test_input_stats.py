"""What images are normalised with: one source for training, validation, test, predictor and export."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_runs import PINNED, SMALL, weights

from convtrials.core.errors import ConvtrialsError, RecipeError
from convtrials.data.dataset import Dataset
from convtrials.deploy.predictor import load_finished_run
from convtrials.training.engine.input_stats import normalised_as
from convtrials.training.engine.network import recipe_network
from convtrials.training.engine.train import train
from convtrials.training.recipe.finetuning import IMAGENET_MEAN, IMAGENET_STD
from convtrials.training.recipe.recipe import Recipe
from convtrials.training.replicas.train import train_replicas

Make = Callable[..., Dataset]


@pytest.mark.parametrize(
    ("asked", "channels", "mean", "std"),
    [
        ("data", 3, (0.5, 0.5, 0.5), (0.3, 0.3, 0.3)),
        ("imagenet", 3, IMAGENET_MEAN, IMAGENET_STD),
        ("imagenet", 1, (0.449,), (0.226,)),
        ({"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}, 3, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)),
        ({"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}, 1, (0.2,), (0.5,)),
        ({"mean": 0.5, "std": 0.25}, 3, (0.5,) * 3, (0.25,) * 3),
        ({"mean": 0.5, "std": 0.25}, 1, (0.5,), (0.25,)),
    ],
)
def test_what_is_used(make_dataset: Make, asked: Any, channels: int, mean: Any, std: Any) -> None:
    data = make_dataset(channels=channels)
    found = normalised_as(Recipe(input_stats=asked), data)
    assert (found.mean, found.std, found.fingerprint) == (mean, std, data.fingerprint)


@pytest.mark.parametrize(
    "asked",
    [
        "image_net",
        5,
        {"mean": [0.5]},
        {"mean": [123.7, 116.3, 103.5], "std": [58.4, 57.1, 57.4]},
        {"mean": [0.5], "std": [0.0]},
        {"mean": [0.5, 0.5, 0.5], "std": [0.5]},
        {"mean": [float("nan")], "std": [0.5]},
        {"mean": [], "std": []},
        {"mean": [0.5], "std": [0.5], "scale": 1},
    ],
)
def test_impossible_statistics_are_a_line(asked: Any) -> None:
    with pytest.raises(RecipeError, match=r"^recipe: input_stats = ") as caught:
        Recipe(input_stats=asked)
    assert len(str(caught.value).splitlines()) == 1


def test_two_numbers_fit_no_images(make_dataset: Make) -> None:
    recipe = Recipe(input_stats={"mean": [0.5, 0.5], "std": [0.5, 0.5]})
    with pytest.raises(RecipeError, match=r"input_stats: 2 numbers for images of 3 channel\(s\)"):
        normalised_as(recipe, make_dataset(channels=3))


def test_the_file_and_the_fingerprint_stay_those_of_versions_without_it() -> None:
    assert "input_stats" not in Recipe().to_yaml()
    assert Recipe(input_stats="data").fingerprint() == Recipe().fingerprint()
    assert Recipe(input_stats="imagenet").fingerprint() != Recipe().fingerprint()
    own = Recipe(input_stats={"mean": 0.5, "std": [0.25]})
    import yaml

    assert Recipe(**yaml.safe_load(own.to_yaml())) == own


def test_training_validation_test_record_and_predictor_use_the_same(
    train_small: Any, make_dataset: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_dataset(channels=3)
    seen: dict[bool, set[tuple[float, ...]]] = {True: set(), False: set()}
    original = torch.nn.Conv2d.forward

    def forward(self: torch.nn.Conv2d, images: torch.Tensor) -> torch.Tensor:
        if images.shape[1] == 3:  # black stays black: the smallest value that any image can have
            seen[self.training].add(tuple(images.amin(dim=(0, 2, 3)).tolist()))
        return original(self, images)

    monkeypatch.setattr(torch.nn.Conv2d, "forward", forward)
    run = train_small({"input_stats": "imagenet", "epochs": 1}, dataset=data)
    black = [-mean / std for mean, std in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)]
    for values in seen.values():
        np.testing.assert_allclose(np.min(list(values), axis=0), black, rtol=1e-5)
    assert (run.dataset.mean, run.dataset.std) == (IMAGENET_MEAN, IMAGENET_STD)

    finished = load_finished_run(run)
    assert (finished.mean, finished.std) == (IMAGENET_MEAN, IMAGENET_STD)
    predictions = run.read_predictions()
    pixels = torch.from_numpy(data.images[predictions.indices])
    with torch.inference_mode():
        np.testing.assert_allclose(finished.predictor()(pixels).numpy(), predictions.probabilities, atol=2e-6)

    # An independent reference in float64, from the images and the weights alone.
    network = recipe_network(run.recipe, data.image_shape, 4, seed=9)
    network.load_state_dict(weights(run))
    scaled = data.images[predictions.indices].astype(np.float64) / 255
    normal = (scaled - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
    with torch.inference_mode():
        logits = network.double().eval()(torch.from_numpy(normal).permute(0, 3, 1, 2))
    np.testing.assert_allclose(logits.softmax(dim=1).numpy(), predictions.probabilities, atol=1e-5)


def test_a_resume_and_several_runs_at_once_use_them_too(make_dataset: Make, tmp_path: Path) -> None:
    data = make_dataset(channels=3)
    recipe = Recipe(**SMALL).changed({"input_stats": "imagenet", "dropout": 0.0})
    alone = train(recipe, data, out=tmp_path / "alone", execution=PINNED)
    assert train(recipe, data, out=tmp_path / "alone", execution=PINNED).result == alone.result
    runs = train_replicas(recipe, data, [0, 1], [tmp_path / "a", tmp_path / "b"], execution=PINNED)
    assert all(run.dataset.mean == IMAGENET_MEAN for run in runs)
    ours, theirs = (run.read_predictions().probabilities for run in (alone, runs[0]))
    np.testing.assert_allclose(ours, theirs, atol=5e-3)
    plain = train(recipe.changed({"input_stats": "data"}), data, out=tmp_path / "p", execution=PINNED)
    assert np.abs(plain.read_predictions().probabilities - ours).max() > 0.02


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        (
            "data",
            "images are normalised with this data's statistics (mean 0.5, std 0.3); "
            "for weights trained on ImageNet there is input_stats: imagenet",
        ),
        ("imagenet", "images are normalised with ImageNet's statistics (mean 0.449, std 0.226)"),
        ({"mean": 0.2, "std": 0.4}, "images are normalised as input_stats says (mean 0.2, std 0.4)"),
    ],
)
def test_weights_from_elsewhere_say_which(
    train_small: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, asked: Any, line: str
) -> None:
    start = tmp_path / "start.safetensors"
    start.write_bytes(train_small().weights_path.read_bytes())
    caplog.set_level(logging.INFO, "convtrials")
    train_small({"initial_weights": str(start), "input_stats": asked, "epochs": 0.2})
    assert [one for one in caplog.messages if "normalised" in one] == [line]


def test_a_run_goes_on_on_other_classes(
    train_small: Any, make_dataset: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = train_small({"input_stats": {"mean": 0.1, "std": 0.2}})
    caplog.set_level(logging.INFO, "convtrials")
    changes = {"initial_weights": str(first.folder), "freeze": "features"}
    data = make_dataset(classes=6)
    second = train_small(changes, dataset=data, out=tmp_path / "second")
    assert "classifier.6 starts from scratch: the file is for 4 classes, the model has 6" in caplog.messages
    assert any(
        "those of the weights' run are input_stats: {mean: [0.1], std: [0.2]}" in one
        for one in caplog.messages
    )
    before, after = weights(first), weights(second)
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith("features"))
    assert after["classifier.6.weight"].shape[0] == 6
    # Once it has begun, it no longer needs the run that it started from.
    import shutil

    shutil.rmtree(first.folder)
    assert train_small(changes, dataset=data, out=tmp_path / "second").result == second.result


def test_a_folder_without_weights_is_a_line(train_small: Any, tmp_path: Path) -> None:
    run = train_small()
    run.weights_path.unlink()
    for folder, why in ((run.folder, "the run is finished"), (tmp_path, "not a run directory")):
        with pytest.raises(
            ConvtrialsError, match=rf"no weights\.safetensors in this folder \(.*{why}"
        ) as caught:
            train_small({"initial_weights": str(folder)}, out=tmp_path / "second")
        assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "second").exists()


def test_a_run_of_another_network_is_named(
    train_small: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = train_small({"batch_norm": True, "width": 0.25})
    with pytest.raises(ConvtrialsError, match=r"the run of these weights has width: 0\.25, batch_norm: True"):
        train_small({"initial_weights": str(run.folder)}, out=tmp_path / "second")
    train_small({"initial_weights": str(run.folder), "batch_norm": True, "width": 0.25, "activation": "gelu"})
    assert (
        f"initial_weights: {run.folder} was trained with activation relu, and this recipe has gelu"
        in caplog.text
    )
