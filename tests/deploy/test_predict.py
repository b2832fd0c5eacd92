"""`ct.predict`: the run's own probabilities, from arrays and from files, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest
from deploy_runs import own_probabilities, trained
from PIL import Image

import convtrials as ct
from convtrials.data.dataset import Dataset
from convtrials.training.run_directory import Run


def test_arrays_get_the_probabilities_that_training_wrote(each_run: tuple[Run, Dataset]) -> None:
    run, dataset = each_run
    expected, _, indices = own_probabilities(run)
    frame = ct.predict(run, np.asarray(dataset.images)[indices])
    assert list(frame.image) == list(range(len(indices)))
    np.testing.assert_allclose(frame.iloc[:, 2:].to_numpy(), expected, atol=1e-6)
    assert list(frame.columns[2:]) == [f"p({name})" for name in dataset.class_names]
    assert list(frame.predicted) == [dataset.class_names[k] for k in expected.argmax(axis=1)]


def test_files_are_brought_to_the_shape_of_the_run(each_run: tuple[Run, Dataset], tmp_path: Path) -> None:
    run, dataset = each_run
    pixels = np.asarray(dataset.images)[:3]
    for number, image in enumerate(pixels):
        large = np.kron(image, np.ones((2, 2, 1), np.uint8))
        (tmp_path / "deep").mkdir(exist_ok=True)
        Image.fromarray(large.squeeze()).save(tmp_path / "deep" / f"{number}.png")
    (tmp_path / "notes.txt").write_text("no image")
    found = ct.predict(run, tmp_path)
    assert list(found.image) == [str(tmp_path / "deep" / f"{number}.png") for number in range(3)]
    # Halved again, each pixel is the mean of four equal ones and its neighbours' share.
    assert found.iloc[:, 2:].to_numpy().sum(axis=1) == pytest.approx(np.ones(3))
    for number, image in enumerate(pixels):
        Image.fromarray(image.squeeze()).save(tmp_path / f"{number}.png")
    same = ct.predict(run, [tmp_path / f"{number}.png" for number in range(3)])
    pixelwise = ct.predict(run, pixels)
    np.testing.assert_allclose(same.iloc[:, 2:], pixelwise.iloc[:, 2:], atol=1e-6)


def test_what_is_no_image_is_refused_in_a_line(grey_run: tuple[Run, Dataset], tmp_path: Path) -> None:
    run, _ = grey_run
    (tmp_path / "bad.png").write_bytes(b"no image")
    for images, message in (
        (np.zeros((2, 8, 8, 1), np.uint8), r"uint8 \(2, 8, 8, 1\); this run takes uint8 \(N, 16, 16, 1\)"),
        (np.zeros((2, 16, 16, 1), np.float32), "float32"),
        (tmp_path / "bad.png", "bad.png: not an image that Pillow can read"),
        (tmp_path / "gone.png", "gone.png: No such file"),
        ([], "no images given"),
    ):
        with pytest.raises(ct.ConvtrialsError, match=message):
            ct.predict(run, images)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ct.ConvtrialsError, match="no image files"):
        ct.predict(run, tmp_path / "empty")


def test_files_of_more_bits_are_scaled_as_in_training(tmp_path: Path) -> None:
    """12-bit files whose white is 4095: the run's own test images, from their files, get the run's probabilities."""
    draws = np.random.default_rng(1)
    for name, level in (("dark", 600), ("light", 2600)):
        (tmp_path / "scans" / name).mkdir(parents=True)
        for number in range(20):
            pixels = (level + draws.integers(0, 1400, (16, 20))).astype(np.uint16)
            Image.fromarray(pixels).save(tmp_path / "scans" / name / f"{number:02}.png")
    data = ct.load_dataset(tmp_path / "scans", image_size=16, fit="pad", bits=12, ratios=(0.5, 0.2, 0.3))
    run = trained(tmp_path / "run", data, epochs=2, fit="pad")
    frame = ct.predict(run, tmp_path / "scans")
    from_pixels = ct.predict(run, np.asarray(data.images))
    np.testing.assert_allclose(np.sort(frame["p(light)"]), np.sort(from_pixels["p(light)"]), atol=1e-6)
    assert run.dataset.pixel_scale is not None
