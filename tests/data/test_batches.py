"""Orders, micro-batches, and the images of a split from memory and from a file."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convtrials.core.errors import DataError
from convtrials.data.batches import (
    Batches,
    as_channels_last,
    cut,
    epoch_order,
    step_indices,
    steps_per_epoch,
)
from convtrials.data.dataset import Dataset
from convtrials.data.rows import ArrayRows, FileRows, rows_of

# --- orders


@settings(deadline=None)
@given(n=st.integers(0, 500), seed=st.integers(-(2**40), 2**40), epoch=st.integers(0, 10**6))
def test_an_epoch_visits_every_image_once(n: int, seed: int, epoch: int) -> None:
    order = epoch_order(n, seed, epoch)
    assert order.dtype == np.int64
    assert np.array_equal(np.sort(order), np.arange(n))
    assert np.array_equal(order, epoch_order(n, seed, epoch))


def test_seeds_and_epochs_have_orders_of_their_own() -> None:
    orders = {tuple(epoch_order(50, seed, epoch)) for seed in range(4) for epoch in range(4)}
    assert len(orders) == 16


@given(n=st.integers(0, 300), group_size=st.integers(1, 320))
def test_steps_visit_the_order_in_turn(n: int, group_size: int) -> None:
    order = np.arange(n, dtype=np.int64)[::-1]
    steps = steps_per_epoch(n, group_size)
    groups = [step_indices(order, step, group_size) for step in range(steps)]
    assert np.array_equal(np.concatenate([*groups, np.empty(0, np.int64)]), order)
    assert all(len(group) == group_size for group in groups[:-1])
    assert all(len(group) > 0 for group in groups)
    with pytest.raises(IndexError, match=f"epoch of {steps} steps"):
        step_indices(order, steps, group_size)


@given(n=st.integers(0, 300), size=st.integers(1, 320))
def test_micro_batches_cover_the_group_and_leave_no_image_alone(n: int, size: int) -> None:
    parts = [list(range(n))[where] for where in cut(n, size)]
    assert [place for part in parts for place in part] == list(range(n))
    assert all(len(part) == size for part in parts[:-1] if len(parts[-1]) <= size)
    if size > 1 and n > 1:
        assert all(2 <= len(part) <= size + 1 for part in parts)
    if size == 1:
        assert len(parts) == n


def test_the_lone_last_image_joins_its_neighbours() -> None:
    assert cut(9, 4) == [slice(0, 4), slice(4, 9)]
    assert cut(5, 4) == [slice(0, 5)]
    assert cut(1, 4) == [slice(0, 1)]
    assert cut(8, 4) == [slice(0, 4), slice(4, 8)]


@pytest.mark.parametrize("wrong", [0, -3])
def test_sizes_below_one_are_refused(wrong: int) -> None:
    with pytest.raises(ValueError, match="1 or more"):
        cut(5, wrong)
    with pytest.raises(ValueError, match="1 or more"):
        steps_per_epoch(5, wrong)


# --- images


def make_dataset(
    folder: Path | None, n: int = 60, height: int = 7, width: int = 9, channels: int = 1, split_seed: int = 0
) -> Dataset:
    """Random images; memory-mapped behind NumPy's own file header where a folder is given."""
    rng = np.random.default_rng(channels)
    images = rng.integers(0, 256, (n, height, width, channels), dtype=np.uint8)
    if folder is not None:
        np.save(folder / "images.npy", images, allow_pickle=False)
        images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
    return Dataset(
        name="random",
        images=images,
        labels=rng.integers(0, 5, n),
        class_names=tuple("abcde"),
        split=np.random.default_rng(split_seed).integers(0, 2, n).astype(np.uint8),
        fingerprint="0",
        mean=tuple(0.1 * (channel + 1) for channel in range(channels)),
        std=tuple(0.2 * (channel + 1) for channel in range(channels)),
    )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("memory_limit", [0, 2**30])
def test_taken_images_are_the_datasets_normalised(
    tmp_path: Path, channels: int, mapped: bool, memory_limit: int
) -> None:
    dataset = make_dataset(tmp_path if mapped else None, channels=channels)
    batches = Batches(dataset, "val", memory_limit=memory_limit)
    assert batches.streams == (memory_limit == 0)
    indices = epoch_order(len(batches), 0, 0)[:20]
    images, labels = batches.take(indices)
    positions = dataset.indices("val")[indices]
    expected = (dataset.images[positions] / 255.0 - np.array(dataset.mean)) / np.array(dataset.std)
    np.testing.assert_allclose(images.numpy(), expected.transpose(0, 3, 1, 2), atol=1e-5)
    assert np.array_equal(labels.numpy(), dataset.labels[positions])
    assert np.array_equal(batches.labels.numpy(), dataset.labels[dataset.indices("val")])
    assert images.shape == (20, channels, 7, 9)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert images.stride(1) == 1
    raw, _ = batches.raw(indices)
    kept = raw.clone()
    assert torch.equal(batches.normalise(raw), images)
    assert torch.equal(raw, kept)
    assert raw.min() >= 0
    assert raw.max() <= 1
    stored, _ = batches.pixels(indices)
    assert np.array_equal(stored.permute(0, 2, 3, 1).numpy(), dataset.images[positions])


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_streaming_equals_memory_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    channels = data.draw(st.sampled_from([1, 3]))
    dataset = make_dataset(
        tmp_path_factory.mktemp("pack"), channels=channels, split_seed=data.draw(st.integers(0, 9))
    )
    held, streamed = Batches(dataset, "train"), Batches(dataset, "train", memory_limit=0)
    assert streamed.streams
    assert not held.streams
    # Repeated and unsorted positions included.
    indices = np.array(data.draw(st.lists(st.integers(0, len(held) - 1), max_size=40)), dtype=np.int64)
    for one, other in zip(held.take(indices), streamed.take(indices), strict=True):
        assert torch.equal(one, other)
        assert one.stride() == other.stride()


def test_changing_a_batch_leaves_the_data_alone() -> None:
    dataset = make_dataset(None)
    for limit in (0, 2**30):
        batches = Batches(dataset, "train", memory_limit=limit)
        images, _ = batches.take(np.arange(4))
        images.zero_()
        again, _ = batches.take(np.arange(4))
        assert again.abs().sum() > 0


def test_rows_come_from_the_file_only_where_its_offset_is_known(tmp_path: Path) -> None:
    images = make_dataset(tmp_path, channels=3).images
    positions = np.array([5, 1, 2, 3, 3, 0], dtype=np.int64)
    copy_on_write = np.load(tmp_path / "images.npy", mmap_mode="c")
    copy_on_write[1] = 7
    cases = [
        (images, FileRows),
        (images[2:], ArrayRows),
        (copy_on_write, ArrayRows),
        (np.array(images), ArrayRows),
    ]
    for array, kind in cases:
        rows = rows_of(array)
        assert type(rows) is kind
        assert np.array_equal(rows.read(positions), array[positions])
    assert rows_of(images).read(np.empty(0, np.int64)).shape == (0, 7, 9, 3)


def test_a_file_cut_short_is_told(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    batches = Batches(dataset, "train", memory_limit=0)
    path = tmp_path / "images.npy"
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 7 * 9 * 8)
    with pytest.raises(DataError, match=r"images\.npy: the file ends early"):
        batches.take(np.arange(len(batches)))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path)
    (tmp_path / "images.npy").unlink()
    with pytest.raises(DataError, match=r"images\.npy: cannot be read"):
        Batches(dataset, "train", memory_limit=0)


def test_streaming_a_large_file_touches_little_memory(tmp_path: Path) -> None:
    """Of 256 MiB read through the map, 256 MiB would stay resident; of those read into buffers, none."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("needs /proc to see resident memory")

    def resident_mib() -> float:
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024

    shape = (4096, 256, 256, 1)
    images = np.memmap(tmp_path / "images.bin", dtype=np.uint8, mode="w+", shape=shape)
    n = shape[0]
    dataset = Dataset(
        "large", images, np.zeros(n, np.int64), ("a",), np.zeros(n, np.uint8), "0", (0.5,), (0.5,)
    )
    batches = Batches(dataset, "train", memory_limit=2**20)
    batches.pixels(np.arange(32))
    before = resident_mib()
    for start in range(0, n, 32):
        batches.pixels(np.arange(start, start + 32))
    assert resident_mib() - before < 64


@pytest.mark.parametrize("wrong", [[-1], [0, 10**6]])
@pytest.mark.parametrize("memory_limit", [0, 2**30])
def test_positions_outside_the_split_are_refused(tmp_path: Path, wrong: list[int], memory_limit: int) -> None:
    batches = Batches(make_dataset(tmp_path), "train", memory_limit=memory_limit)
    with pytest.raises(IndexError, match="positions must be 0 to"):
        batches.take(np.array(wrong))


def test_mean_and_std_may_come_from_elsewhere_and_must_fit() -> None:
    dataset = make_dataset(None, channels=3)
    given_values = Batches(dataset, "train", mean=(0.0,) * 3, std=(1.0,) * 3)
    images, _ = given_values.take(np.arange(3))
    assert torch.equal(images, given_values.raw(np.arange(3))[0])
    for wrong in [(0.5,), (0.5, 0.5, float("nan")), (0.5, -0.1, 0.5)]:
        with pytest.raises(DataError, match=r"'random': std .* does not fit: need 3 finite values"):
            Batches(dataset, "train", std=wrong)


def test_a_channel_without_contrast_stays_finite() -> None:
    dataset = make_dataset(None)
    images, _ = Batches(dataset, "train", mean=(0.5,), std=(0.0,)).take(np.arange(5))
    assert bool(torch.isfinite(images).all())


def test_an_empty_split_is_told() -> None:
    with pytest.raises(DataError, match="'random': split 'test' has no images"):
        Batches(make_dataset(None), "test")


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_last_holds_beyond_doubt(channels: int) -> None:
    images = torch.rand(4, channels, 5, 6)
    for given_images in (
        images,
        images.contiguous(memory_format=torch.channels_last),
        images.transpose(2, 3),
    ):
        made = as_channels_last(given_images)
        assert torch.equal(made, given_images)
        assert made.is_contiguous(memory_format=torch.channels_last)
        assert made.stride(1) == 1
    held = as_channels_last(images)
    assert as_channels_last(held).data_ptr() == held.data_ptr()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("memory_limit", [0, 2**30])
def test_batches_on_a_gpu_equal_those_on_the_cpu(tmp_path: Path, memory_limit: int) -> None:
    dataset = make_dataset(tmp_path, channels=3)
    indices = np.arange(7)[::-1]
    here, labels = Batches(dataset, "train").take(indices)
    there, labels_there = Batches(dataset, "train", "cuda", memory_limit=memory_limit).take(indices)
    assert there.is_cuda
    torch.testing.assert_close(there.cpu(), here)
    assert torch.equal(labels_there.cpu(), labels)
