"""A run as PyTorch's own file: weights alone, which any program reads without running code, and what they are."""

import hashlib
import json
import shutil

import numpy as np
import pytest
import torch
from deploy_runs import PINNED, own_probabilities
from PIL import Image
from typer.testing import CliRunner

from convtrials.cli.main import app
from convtrials.data.open import load_dataset
from convtrials.deploy.export_run import export_torch
from convtrials.deploy.extra import DeployError
from convtrials.deploy.predictor import load_finished_run
from convtrials.deploy.torch_file import card_path
from convtrials.models import build_model
from convtrials.training.engine.train import train
from convtrials.training.recipe.recipe import Recipe
from convtrials.training.run_directory import Run


@pytest.fixture
def copied(grey_run, tmp_path):
    """A run of one's own, and its data."""
    shutil.copytree(grey_run[0].folder, tmp_path / "run")
    return Run(tmp_path / "run"), grey_run[1]


def test_another_program_computes_the_runs_probabilities_from_the_two_files(copied):
    run, dataset = copied
    done = export_torch(run, dataset)
    assert (done.path, done.images, done.of_test_split) == (run.folder / "model.pt", 288, True)
    assert (done.largest_difference, done.changed) == (0.0, 0.0)
    state = torch.load(done.path, weights_only=True)
    assert type(state) is dict
    assert all(type(tensor) is torch.Tensor and tensor.is_contiguous() for tensor in state.values())
    card = json.loads((run.folder / "model.json").read_text())
    assert card["sha256"] == hashlib.sha256(done.path.read_bytes()).hexdigest()
    assert (card["class_names"], card["dataset"]) == (list(run.dataset.class_names), dataset.fingerprint)

    height, width, channels = card["image_shape"]
    settings = {key: value for key, value in card["network"].items() if key != "model"}
    network = build_model(
        card["network"]["model"],
        classes=len(card["class_names"]),
        channels=channels,
        image_size=(height, width),
        **settings,
    )
    network.load_state_dict(state)
    expected, _, positions = own_probabilities(run)
    pixels = dataset.images[positions].astype(np.float64) / 255
    normal = torch.from_numpy((pixels - card["mean"]) / card["std"]).permute(0, 3, 1, 2)
    with torch.inference_mode():
        got = network.double().eval()(normal).softmax(dim=1).numpy()
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_a_run_starts_from_the_file(copied, tmp_path):
    run, dataset = copied
    done = export_torch(run, None)
    assert (done.of_test_split, done.largest_difference) == (False, 0.0)
    recipe = run.recipe.changed({"epochs": 0.1})
    ours, theirs = (
        train(
            recipe.changed({"initial_weights": str(path)}),
            dataset,
            out=tmp_path / path.name,
            execution=PINNED,
        )
        for path in (done.path, run.weights_path)
    )
    expected = own_probabilities(ours)[0]
    np.testing.assert_array_equal(own_probabilities(theirs)[0], expected)


def test_an_earlier_export_is_replaced_and_another_file_never(copied, tmp_path):
    run, dataset = copied
    export_torch(run, dataset)
    export_torch(run, dataset)
    torch.save({"years": torch.zeros(1)}, run.folder / "model.pt")
    before = (run.folder / "model.pt").read_bytes()
    with pytest.raises(DeployError, match=r"model\.pt: exists and was not exported by convtrials"):
        export_torch(run, dataset)
    assert (run.folder / "model.pt").read_bytes() == before
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(DeployError, match=r"other\.json: exists and was not exported"):
        export_torch(run, dataset, tmp_path / "other.pt")
    assert not (tmp_path / "other.pt").exists()
    with pytest.raises(DeployError, match=r"a state dict's name ends in \.pt or \.pth"):
        export_torch(run, dataset, tmp_path / "model.onnx")


def test_the_run_s_own_statistics_are_in_the_card(grey_run, tmp_path):
    recipe = Recipe(model="alexnet-lite", width=0.125, epochs=0.1, input_stats={"mean": 0.25, "std": 0.5})
    run = train(recipe, grey_run[1], out=tmp_path / "run", execution=PINNED)
    export_torch(run, grey_run[1])
    card = json.loads((run.folder / "model.json").read_text())
    assert (card["mean"], card["std"]) == ([0.25], [0.5])


@pytest.mark.parametrize(
    ("options", "framing"),
    [
        ({}, {"fit": "cover"}),
        ({"fit": "stretch"}, {"fit": "stretch"}),
        ({"fit": "pad", "pad": "white"}, None),
    ],
)
def test_how_images_were_brought_to_their_size_is_in_the_card(tmp_path, options, framing):
    draws = np.random.default_rng(0)
    for number in range(30):
        place = tmp_path / "photos" / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        pixels = draws.integers(0, 256, (20, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{number}.png")
    data = load_dataset(tmp_path / "photos", image_size=16, **options)
    run = train(
        Recipe(model="alexnet-lite", width=0.125, epochs=0.1), data, out=tmp_path / "run", execution=PINNED
    )
    assert load_finished_run(run).framing == (framing or options)
    card = json.loads(card_path(export_torch(run, data).path).read_text())
    assert {key: card[key] for key in ("fit", "pad") if key in card} == (framing or options)


def test_the_command(copied):
    run, _ = copied
    done = CliRunner().invoke(app, ["export", str(run.folder), "--format", "torch", "--quiet"])
    assert (done.exit_code, done.stdout.strip()) == (0, str(run.folder / "model.pt"))
    refused = CliRunner().invoke(app, ["export", str(run.folder), "--format", "torch", "--precision", "int8"])
    assert refused.exit_code == 2
    assert "a state dict is fp32" in refused.output
