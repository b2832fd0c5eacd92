"""Ranges of int8 come from validation images: test images can be anything without changing a bit."""

import dataclasses

import numpy as np
import pytest

from convtrials.data.dataset import Dataset
from convtrials.deploy.extra import DeployError
from convtrials.deploy.images import calibration_images
from convtrials.deploy.inference_engines import EngineBuilder
from convtrials.deploy.onnx_file import write_onnx
from convtrials.deploy.predictor import load_finished_run
from convtrials.deploy.quantize_onnx import write_int8_onnx


def with_poisoned(dataset: Dataset, split: str) -> Dataset:
    """The same dataset with the images of one split replaced by the loudest there are."""
    images = np.array(dataset.images)
    images[dataset.indices(split)] = np.random.default_rng(1).choice([0, 255], images[:1].shape)
    return dataclasses.replace(dataset, images=images)


class Watched(np.ndarray):
    """Images that note which of them were looked at."""

    seen: set[int]

    def __getitem__(self, key):
        type(self).seen.update(np.atleast_1d(np.asarray(key)).tolist())
        return np.asarray(self)[key]


def test_no_test_image_is_even_read(grey_run):
    _, dataset = grey_run
    Watched.seen = set()
    watched = dataclasses.replace(dataset, images=np.array(dataset.images).view(Watched))
    found = calibration_images(watched, most=40)
    assert len(found) == len(Watched.seen) == 40
    assert Watched.seen <= set(dataset.indices("val").tolist())


def test_they_are_always_the_same_and_each_once(grey_run):
    _, dataset = grey_run
    few, again = (calibration_images(dataset, most=40) for _ in range(2))
    assert (few == again).all()
    everything = calibration_images(dataset)
    assert (everything == dataset.images[dataset.indices("val")]).all()


def test_an_empty_validation_split_is_told(grey_run):
    _, dataset = grey_run
    empty = dataclasses.replace(
        dataset, split=np.where(dataset.split == 1, 0, dataset.split).astype(np.uint8)
    )
    with pytest.raises(DeployError, match="no validation images"):
        calibration_images(empty)


def test_poisoned_test_images_do_not_change_the_onnx_file(grey_run, tmp_path):
    pytest.importorskip("onnxruntime")
    run, dataset = grey_run
    finished = load_finished_run(run)
    write_onnx(finished, tmp_path / "fp32.onnx")
    files = []
    for number, data in enumerate((dataset, with_poisoned(dataset, "test"), with_poisoned(dataset, "val"))):
        files.append(tmp_path / f"{number}.onnx")
        write_int8_onnx(tmp_path / "fp32.onnx", files[-1], finished, calibration_images(data))
    clean, poisoned_test, poisoned_validation = (file.read_bytes() for file in files)
    assert clean == poisoned_test
    assert clean != poisoned_validation


def test_poisoned_test_images_do_not_change_what_torch_computes(grey_run, tmp_path):
    run, dataset = grey_run
    finished = load_finished_run(run)
    shown = np.ascontiguousarray(dataset.images[dataset.indices("test")][:50])
    clean, poisoned_test, poisoned_validation = (
        EngineBuilder(finished, calibration_images(data), 1, tmp_path).make("torch-int8").classify(shown)
        for data in (dataset, with_poisoned(dataset, "test"), with_poisoned(dataset, "val"))
    )
    assert np.array_equal(clean, poisoned_test)
    assert not np.array_equal(clean, poisoned_validation)
