"""Images of more than 8 bits: the range is found over the dataset, used, recorded and said."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from png_16_bits import colour_16_bits

from convtrials.core.errors import DataError
from convtrials.data.check import check_source
from convtrials.data.open import load_dataset
from convtrials.data.sources.find import find_source


def folder_of(place: Path, images: dict[str, np.ndarray], ending: str = "png") -> Path:
    """Write images under ``class/name``, 10 classes' worth of what is given."""
    for name, values in images.items():
        path = place / f"{name}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(path)
    return place


def ramps(top: int, count: int = 8, dtype: type = np.uint16) -> dict[str, np.ndarray]:
    """Pictures of two classes; the brightest pixel of all is `top`, others are darker by known factors."""
    ramp = np.linspace(0, 1, 64).reshape(8, 8)
    pictures = {}
    for place in range(count):
        values = ramp * top * (1 if place == 0 else 0.5)
        pictures[f"{'ab'[place % 2]}/{place}"] = values.astype(dtype)
    return pictures


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize(
    ("top", "bits"), [(255, 8), (700, 10), (1023, 10), (1024, 12), (4095, 12), (16000, 14), (65535, 16)]
)
def test_the_range_of_16_bit_files_is_found_over_all_of_them(
    tmp_path: Path, top: int, bits: int, ending: str
) -> None:
    pictures = ramps(top)
    data = load_dataset(folder_of(tmp_path / "d", pictures, ending))
    white = 2**bits - 1
    for place, path in enumerate(sorted(pictures)):
        expected = np.rint(pictures[path].astype(np.float64) * 255 / white)
        np.testing.assert_array_equal(data.images[place, :, :, 0], expected)
    assert any(f"{bits}-bit images" in note and f"{white:,} is white" in note for note in data.notes)
    if bits != 16:
        assert data.manifest["pixel_scale"]["integers"] == white


def test_one_bright_image_decides_for_all_of_them(tmp_path: Path) -> None:
    # Relative brightness is information: the others keep theirs.
    pictures = ramps(1000) | {"b/bright": np.full((8, 8), 4000, np.uint16)}
    data = load_dataset(folder_of(tmp_path / "d", pictures))
    assert data.manifest["pixel_scale"]["integers"] == 4095
    assert data.images.max() == round(4000 * 255 / 4095)


def test_8_bit_files_among_wide_ones_stay_as_they_are(tmp_path: Path) -> None:
    plain = {f"a/plain{n}": np.full((8, 8), 200, np.uint8) for n in range(3)}
    data = load_dataset(folder_of(tmp_path / "d", ramps(4095) | plain))
    assert (data.images == 200).all(axis=(1, 2, 3)).sum() == 3
    assert data.images.max() == 255


def test_bits_override_what_is_found(tmp_path: Path) -> None:
    pictures = ramps(1000)
    data = load_dataset(folder_of(tmp_path / "d", pictures), bits=12)
    assert data.images.max() == round(1000 * 255 / 4095)
    with pytest.raises(DataError, match="0 to 255 are supported"):
        load_dataset(tmp_path / "d", bits=8)


def test_few_bits_of_8_bit_files_when_asked(tmp_path: Path) -> None:
    # Masks of 0 and 1, saved as they are.
    masks = {f"{'ab'[n % 2]}/{n}": (np.eye(8, dtype=np.uint8) + n % 2).clip(0, 1) for n in range(8)}
    folder = folder_of(tmp_path / "d", masks)
    dark = load_dataset(folder)
    assert dark.images.max() == 1
    assert any("the brightest pixel of all is 1 of 255" in note for note in dark.notes)
    masks_seen = load_dataset(folder, bits=1)
    assert set(np.unique(masks_seen.images)) == {0, 255}
    assert masks_seen.notes == ()


@pytest.mark.parametrize(("top", "white"), [(1.0, 1), (0.3, 1), (255.0, 255), (40.0, 255)])
def test_the_range_of_float_files_is_found(tmp_path: Path, top: float, white: int) -> None:
    pictures = ramps(1, dtype=np.float64)
    pictures = {name: (values * top).astype(np.float32) for name, values in pictures.items()}
    data = load_dataset(folder_of(tmp_path / "d", pictures, "tif"))
    first = sorted(pictures)[0]
    np.testing.assert_array_equal(
        data.images[0, :, :, 0], np.rint(pictures[first].astype(np.float64) * 255 / white)
    )
    assert any(f"so {white} is white" in note for note in data.notes)


@pytest.mark.parametrize("top", [1.02, 16.0, 300.0, np.nan])
def test_floats_of_no_known_range_are_refused(tmp_path: Path, top: float) -> None:
    pictures = {name: (v * top).astype(np.float32) for name, v in ramps(1, dtype=np.float64).items()}
    with pytest.raises(DataError, match=r"floats up to|supported"):
        load_dataset(folder_of(tmp_path / "d", pictures, "tif"))


def test_arrays_have_their_range_found_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    labels = np.arange(60) % 3
    for name, values, white in (
        ("twelve", rng.integers(0, 4096, (60, 6, 6)).astype(np.uint16), 4095),
        ("narrow", rng.integers(0, 256, (60, 6, 6)).astype(np.uint16), 255),
        ("large", rng.integers(0, 256, (60, 6, 6)).astype(np.int64), 255),
        ("bright", (rng.random((60, 6, 6)) * 255).astype(np.float32), 255),
        ("unit", rng.random((60, 6, 6)).astype(np.float32), 1),
    ):
        values[0, 0, 0] = white
        np.savez(tmp_path / f"{name}.npz", images=values, labels=labels)
        data = load_dataset(tmp_path / f"{name}.npz")
        expected = np.rint(values.astype(np.float64) * 255 / white)
        assert np.abs(data.images[..., 0] - expected).max() <= (1 if name in ("unit", "bright") else 0), name
        assert any("is white" in note for note in data.notes), name


def test_splits_of_different_scales_are_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    train, test = rng.random((40, 6, 6)).astype(np.float32), rng.random((20, 6, 6)).astype(np.float32) * 255
    labels = np.arange(40) % 2
    np.savez(tmp_path / "d.npz", x_train=train, y_train=labels, x_test=test, y_test=labels[:20])
    with pytest.raises(DataError, match="in one split and at"):
        load_dataset(tmp_path / "d.npz")


def test_dark_16_bit_colour_is_refused(tmp_path: Path) -> None:
    for top, good in ((65535, True), (4095, False)):
        for number in range(8):
            path = tmp_path / str(top) / "ab"[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(colour_16_bits(top))
        if good:
            assert load_dataset(tmp_path / str(top)).images.max() > 200
        else:
            with pytest.raises(DataError, match="16-bit colour images that end at"):
                load_dataset(tmp_path / str(top))
            assert load_dataset(tmp_path / str(top), bits=16).images.max() <= 15


def test_the_scale_holds_whichever_images_are_used(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "d", ramps(3000, count=40))
    every = load_dataset(folder)
    assert load_dataset(folder, image_size=8, channels=1).fingerprint == every.fingerprint
    assert load_dataset(folder).fingerprint == every.fingerprint


def test_check_compares_pictures_on_the_scale_that_was_found(tmp_path: Path) -> None:
    # 17 levels of 4,096 would make different dark pictures equal.
    pictures = {f"{'ab'[n % 2]}/{n}": np.full((8, 8), 1000 + n * 3, np.uint16) for n in range(8)}
    pictures["a/top"] = np.full((8, 8), 4095, np.uint16)
    report = check_source(find_source(folder_of(tmp_path / "d", pictures)))
    kinds = {finding.kind for finding in report.findings}
    # Two of them are still equal at 8 bits; 16-bit scaling would make all eight one.
    assert (
        sum(len(f.items) for f in report.findings if f.kind in ("label-conflict", "duplicate", "leakage"))
        <= 4
    )
    assert "unreadable" not in kinds
