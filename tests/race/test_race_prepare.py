"""What contestants are given to train on, and the environments that peers live in."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.race.environments import is_made, make_environment, python_of, requirement_file
from benchmarks.race.errors import BenchError
from benchmarks.race.lineup import (
    PEER_ENVIRONMENTS,
    check_peers,
    count_contestants,
    our_contestants,
    peer_contestants,
)
from benchmarks.race.ours import dataset_of
from benchmarks.race.prepare import training_images, write_data
from convtrials.data.dataset import Dataset


def test_whole_batches_of_training_images_alone(make_dataset: Callable[..., Dataset]) -> None:
    data = make_dataset(per_class=30, classes=4)  # 72 training images
    images, labels = training_images(data, 20)
    assert images.shape == (60, 12, 12, 1)
    assert images.dtype == np.uint8
    where = {data.images[index].tobytes(): index for index in data.indices("train")}
    found = [where[image.tobytes()] for image in images]
    assert len(set(found)) == 60
    assert data.labels[found].tolist() == labels.tolist()
    assert len(set(labels[:20].tolist())) == 4  # mixed, not sorted by class
    again, _ = training_images(data, 20)
    assert (again == images).all()
    with pytest.raises(BenchError, match="gives 72 training images here, and two batches are needed"):
        training_images(data, 37)


@pytest.mark.parametrize("channels", [1, 3])
def test_files_say_what_the_arrays_say(
    make_dataset: Callable[..., Dataset], tmp_path: Path, channels: int
) -> None:
    data = make_dataset(per_class=10, size=28, channels=channels)
    network = write_data(tmp_path, data, model="alexnet", width=0.1, batch_size=8, files=True)
    assert json.loads((tmp_path / "network.json").read_text()) == network
    assert network["image"] == [28, 28, channels]
    images, labels = np.load(tmp_path / "images.npy"), np.load(tmp_path / "labels.npy")
    files = sorted((tmp_path / "png").glob("*/*.png"), key=lambda path: path.name)
    assert [int(path.parent.name) for path in files] == labels.tolist()
    read = np.stack([np.asarray(Image.open(path)).reshape(28, 28, channels) for path in files])
    assert (read == images).all()
    ours = dataset_of(tmp_path, 4)
    assert (ours.images[ours.indices("train")] == images).all()
    assert len(ours.indices("val")) == 4
    assert ours.mean == pytest.approx(images.mean(axis=(0, 1, 2)) / 255)
    assert ours.std == pytest.approx(images.std(axis=(0, 1, 2)) / 255)


def test_peers_are_named(tmp_path: Path) -> None:
    assert check_peers(None) == ()
    assert check_peers("Keras, plain,keras") == ("keras", "plain")
    assert check_peers("all") == tuple(PEER_ENVIRONMENTS)
    with pytest.raises(
        BenchError, match="--peers pytorch: choose of keras, lightning, plain, notebook, or all"
    ):
        check_peers("keras,pytorch")
    assert [one.name for one in our_contestants(tmp_path, 8)] == ["ours", "ours-fp32", "ours-together"]
    assert (count_contestants(()), count_contestants(check_peers("all"))) == (3, 10)


def test_an_environment_is_made_once_and_failure_is_two_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    wanted = tmp_path / "wanted.txt"
    wanted.write_text("# nothing\n")
    python = make_environment(tmp_path, "small", wanted)
    assert python == python_of(tmp_path, "small")
    assert python.exists()
    assert is_made(tmp_path, "small", wanted)
    assert [line.partition(" in ")[0] for line in caplog.messages] == ["making an environment for small"]
    made = python.lstat().st_mtime_ns
    make_environment(tmp_path, "small", wanted)
    assert (python.lstat().st_mtime_ns, len(caplog.messages)) == (made, 1)

    wanted.write_text("no-such-package-anywhere==1.0\n")
    assert not is_made(tmp_path, "small", wanted)
    with pytest.raises(BenchError) as told:
        make_environment(tmp_path, "small", wanted)
    first, second = str(told.value).splitlines()
    assert first.startswith("environment small: cannot be made: ")
    assert "no-such-package-anywhere" in first
    assert str(wanted) in second
    assert not is_made(tmp_path, "small", wanted)


def test_peers_without_an_environment_say_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    found = peer_contestants(("keras",), tmp_path, 8, tmp_path / "file")
    assert [one.name for one in found] == ["keras", "keras-tuned"]
    assert all(one.missing.startswith("environment keras: cannot be made") for one in found)
    assert caplog.messages[-1].startswith("error: environment keras: cannot be made")


def test_requirements_are_pinned() -> None:
    for environment in set(PEER_ENVIRONMENTS.values()):
        lines = requirement_file(environment).read_text().splitlines()
        packages = [line for line in lines if line and not line.startswith("#")]
        assert packages
        assert all("==" in line for line in packages)
