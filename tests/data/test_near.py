"""Near-duplicates: every kind of change is found, different pictures are not, and the search stays within bounds."""

import io
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from convtrials.core.errors import DataError
from convtrials.data.check import CheckReport, check_source
from convtrials.data.near.candidates import (
    MOST_OF_AN_IMAGE,
    Candidates,
    similar_hashes,
)
from convtrials.data.near.distance import pair_distances, usual_distances
from convtrials.data.near.store import thumbnail_store
from convtrials.data.near.thumbnails import SHIFTS, hashed, thumbnail
from convtrials.data.options import DatasetOptions
from convtrials.data.sources.find import find_source

#: Pixels per side of a tile of a photograph, and of the gap to the next.
TILE, GAP = 80, 4


@pytest.fixture(scope="module")
def tiles() -> list[np.ndarray]:
    """Parts of two real photographs, each with a margin of two pixels; leaves, water and blurred ground among them.

    Left out are eight of clear sky, on which there is next to nothing to compare: a test of their own has them.
    """
    return [tile for tile in all_tiles() if np.asarray(middle(tile).convert("L")).std() >= 3.5]


def all_tiles() -> list[np.ndarray]:
    found = []
    for photograph in load_sample_images().images:
        for top in range(0, photograph.shape[0] - TILE - GAP, TILE + GAP):
            for left in range(0, photograph.shape[1] - TILE - GAP, TILE + GAP):
                found.append(photograph[top : top + TILE + GAP, left : left + TILE + GAP])
    return found


def middle(tile: np.ndarray, down: int = 0, right: int = 0) -> Image.Image:
    return Image.fromarray(tile[2 + down : 2 + down + TILE, 2 + right : 2 + right + TILE])


def brightness(tile: np.ndarray, factor: float, offset: float) -> Image.Image:
    changed = np.asarray(middle(tile), np.float64) * factor + offset
    return Image.fromarray(np.clip(changed, 0, 255).astype(np.uint8))


def compressed(tile: np.ndarray) -> Image.Image:
    file = io.BytesIO()
    middle(tile).save(file, "JPEG", quality=50)
    return Image.open(file).convert("RGB")


CHANGES: dict[str, Callable[[np.ndarray], Image.Image]] = {
    "half": lambda tile: middle(tile).resize((TILE // 2, TILE // 2), Image.Resampling.BILINEAR),
    "larger": lambda tile: middle(tile).resize((120, 120), Image.Resampling.BICUBIC),
    "jpeg": compressed,
    "shifted": lambda tile: middle(tile, 0, 2),
    "shifted back": lambda tile: middle(tile, -2, 0),
    "darker": lambda tile: brightness(tile, 0.7, 0),
    "brighter": lambda tile: brightness(tile, 1, 30),
    "grey": lambda tile: middle(tile).convert("L"),
}


def write_tiles(folder: Path, tiles: list[np.ndarray]) -> None:
    for number, tile in enumerate(tiles):
        part = ("train", "train", "val", "test")[number // 2 % 4]
        place = folder / part / ("x", "y")[number % 2] / f"{number:03d}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        middle(tile).save(place)
        if number < 2:
            (folder / "test" / ("x", "y")[number]).mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.random.default_rng(number).integers(0, 256, (80, 80, 3), np.uint8)).save(
                folder / "test" / ("x", "y")[number] / "noise.png"
            )


def check(place: Path, **options: object) -> CheckReport:
    return check_source(find_source(place, DatasetOptions()), **options)  # type: ignore[arg-type]


def found(report: CheckReport, kind: str) -> tuple[str, ...]:
    return next((finding.items for finding in report.findings if finding.kind == kind), ())


NEAR = ("near-conflict", "near-leakage", "look-alike", "near-duplicate")


def test_hashes_are_those_of_the_library(tiles: list[np.ndarray]) -> None:
    imagehash = pytest.importorskip("imagehash")
    images = [np.asarray(middle(tile)) for tile in tiles]
    images += [image[:17, :61, :1] for image in images]
    own = hashed([thumbnail(image) for image in images]).hashes[:, 0]
    for image, number in zip(images, own.tolist(), strict=True):
        picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
        assert int(str(imagehash.phash(picture)), 16) == number


def test_shifted_hashes_are_hashes_of_the_shifted_thumbnail(tiles: list[np.ndarray]) -> None:
    from scipy.fft import dctn

    own = hashed([thumbnail(np.asarray(middle(tile))) for tile in tiles[:9]])
    grey = own.pixels[:, :1024].reshape(-1, 32, 32)
    for place, (down, right) in enumerate(SHIFTS):
        rows, columns = (np.clip(np.arange(32) + by, 0, 31) for by in (down, right))
        for thumb, number in zip(grey, own.hashes[:, place].tolist(), strict=True):
            low = dctn(thumb[np.ix_(rows, columns)].astype(float))[:8, :8].reshape(-1)
            bits = low > np.median(low)
            assert int("".join("01"[int(bit)] for bit in bits), 2) == number


def test_tiles_of_photographs_are_different_pictures(tmp_path: Path, tiles: list[np.ndarray]) -> None:
    write_tiles(tmp_path / "set", tiles)
    report = check(tmp_path / "set")
    assert len(tiles) == 62
    assert not report.near_pairs
    assert not {finding.kind for finding in report.findings} & {*NEAR, "not-compared"}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_in_another_split_spoils(change: str, tmp_path: Path, tiles: list[np.ndarray]) -> None:
    write_tiles(tmp_path / "set", tiles)
    # All in train and of class x: roofs, water, ground, leaves.
    numbers = range(0, 62, 8)
    for number in numbers:
        CHANGES[change](tiles[number]).save(tmp_path / "set" / "test" / "x" / f"copy{number:03d}.png")
    report = check(tmp_path / "set")
    pairs = {pair.files: pair for pair in report.near_pairs}
    wanted = {(f"train/x/{number:03d}.png", f"test/x/copy{number:03d}.png") for number in numbers}
    if change == "jpeg":
        # Some are blurred ground, where compression leaves no fine structure to hash.
        assert set(pairs) <= wanted
        assert len(pairs) >= 5
    else:
        assert set(pairs) == wanted
    assert report.spoiled
    assert all(pair.across and not pair.conflict for pair in pairs.values())
    assert len(found(report, "near-leakage")) == sum(pair.certain for pair in pairs.values()) >= 4
    assert found(report, "near-leakage")[0].startswith("train/x/")
    assert " ~ test/x/copy" in found(report, "near-leakage")[0]
    without = check(tmp_path / "set", near=False)
    assert not without.spoiled
    assert not without.near_pairs
    closest = min(pair.distance for pair in pairs.values())
    fewer = check(tmp_path / "set", near_distance=closest).near_pairs
    assert 0 < len(fewer) <= len(pairs)
    assert not any(pair.distance > closest and pair.correlation < 0.995 for pair in fewer)


def test_a_copy_under_another_class_is_named(tmp_path: Path, tiles: list[np.ndarray]) -> None:
    write_tiles(tmp_path / "set", tiles)
    compressed(tiles[16]).save(tmp_path / "set" / "train" / "y" / "copy.png")
    report = check(tmp_path / "set")
    assert found(report, "near-conflict")[0].startswith("train/x/016.png ~ train/y/copy.png (distance 0.")
    assert report.spoiled
    assert report.as_dict()["near_pairs"][0]["classes"] == ("x", "y")


def test_a_copy_within_a_class_and_split_is_a_note(tmp_path: Path, tiles: list[np.ndarray]) -> None:
    write_tiles(tmp_path / "set", tiles)
    compressed(tiles[23]).save(tmp_path / "set" / "test" / "y" / "copy.png")
    report = check(tmp_path / "set")
    assert len(found(report, "near-duplicate")) == 1
    assert not report.spoiled


def test_many_copies_of_each_image_are_found(tmp_path: Path, tiles: list[np.ndarray]) -> None:
    # Data that came augmented: the nearest of other images are copies themselves.
    for part, changes in (("train", ("half", "jpeg", "darker", "brighter")), ("test", ("larger",))):
        for number, tile in enumerate(tiles):
            for change in changes:
                place = tmp_path / part / ("x", "y")[number % 2] / f"{number:03d}-{change}.png"
                place.parent.mkdir(parents=True, exist_ok=True)
                CHANGES[change](tile).save(place)
    report = check(tmp_path)
    leaking = {pair.files[1] for pair in report.near_pairs if pair.across and pair.splits[1] == "test"}
    assert len(leaking) == len(tiles)
    assert not found(report, "near-conflict")


def test_the_same_drawing_in_other_colours_is_another_picture(
    tmp_path: Path, tiles: list[np.ndarray]
) -> None:
    write_tiles(tmp_path / "set", tiles)
    flower = np.asarray(middle(tiles[50]))
    grey = np.asarray(Image.fromarray(flower).convert("L")).astype(np.float64)
    for name, tint in (("red", (60, -32, 0)), ("blue", (-25, -16, 150))):
        # Tints that leave the grey value as it is: 0.299 R + 0.587 G + 0.114 B.
        pixels = np.clip(60 + 0.5 * grey[..., None] + np.array(tint), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(
            tmp_path / "set" / ("train" if name == "red" else "test") / "x" / f"{name}.png"
        )
    pairs = {pair.files for pair in check(tmp_path / "set").near_pairs}
    assert ("train/x/red.png", "test/x/blue.png") not in pairs


def test_pictures_of_one_colour_are_said_not_to_be_compared(tmp_path: Path, tiles: list[np.ndarray]) -> None:
    write_tiles(tmp_path / "set", tiles)
    for number, part in enumerate(("train", "test")):
        Image.new("RGB", (80, 80), (200 + number, 200, 200)).save(tmp_path / "set" / part / "x" / "blank.png")
    report = check(tmp_path / "set")
    assert found(report, "not-compared") == ("train/x/blank.png", "test/x/blank.png")
    assert not report.near_pairs


def test_clear_sky_is_not_called_one_picture(tmp_path: Path) -> None:
    write_tiles(tmp_path / "set", all_tiles())
    report = check(tmp_path / "set")
    assert len(found(report, "not-compared")) == 8
    assert not report.near_pairs


def test_arrays_are_compared_too(tmp_path: Path, tiles: list[np.ndarray]) -> None:
    images = np.stack([np.asarray(middle(tile)) for tile in tiles])
    images[41] = np.asarray(compressed(tiles[3]))
    np.savez(tmp_path / "set.npz", images=images, labels=np.arange(62) % 3)
    report = check(tmp_path / "set.npz")
    assert [pair.indices for pair in report.near_pairs] == [(3, 41)]
    assert report.near_pairs[0].classes == ("0", "2")


def test_a_distance_grows_with_the_change(tiles: list[np.ndarray]) -> None:
    tile = tiles[30]
    plain = np.asarray(middle(tile))
    noise = np.random.default_rng(1).normal(size=plain.shape)
    images = [plain] + [np.clip(plain + by * noise, 0, 255).astype(np.uint8) for by in (5, 10, 20)]
    pixels = hashed([thumbnail(image) for image in images]).pixels
    rows = np.array([1, 2, 3])
    pairs = Candidates(rows * 0, rows, rows * 0, rows < 0, rows[:0])
    distances = pair_distances(pairs, lambda wanted: pixels[wanted], np.full(4, 0.5))
    assert distances.second.tolist() == [1, 2, 3]
    # The correlation of grey thumbnails without any shift is a lower bound of the aligned one.
    grey = pixels[:, :1024].astype(float)
    plain_r = [np.corrcoef(grey[0], grey[row])[0, 1] for row in (1, 2, 3)]
    assert (distances.correlation >= np.array(plain_r) - 1e-5).all()
    np.testing.assert_allclose(distances.distance, np.sqrt(1 - distances.correlation) / 0.5)


def test_usual_distances_are_those_to_a_near_reference(tiles: list[np.ndarray]) -> None:
    pixels = hashed([thumbnail(np.asarray(middle(tile))) for tile in tiles]).pixels
    rows = np.arange(62)
    own = usual_distances(62, rows, rows, lambda wanted: pixels[wanted])
    half = pixels[:, :1024].reshape(-1, 16, 2, 16, 2).astype(float).mean((2, 4)).reshape(62, -1)
    others = np.sqrt(1 - np.corrcoef(half))
    np.fill_diagonal(others, np.inf)
    expected = np.clip(np.sort(others, axis=1)[:, 5], 0, 1)  # the sixth of 62
    np.testing.assert_allclose(own, expected, atol=1e-4)


def planted_hashes(count: int, pairs: int, bits: int) -> tuple[np.ndarray, set[tuple[int, int]]]:
    draws = np.random.default_rng(count + bits)
    hashes = draws.integers(0, 1 << 64, (count, 2), np.uint64)
    rows = draws.permutation(count)[: 2 * pairs].reshape(-1, 2)
    for one, two in rows.tolist():
        flips = sum(1 << int(bit) for bit in draws.permutation(64)[:bits])
        hashes[two, 0] = hashes[one, 0] ^ np.uint64(flips)
    return hashes, {(min(pair), max(pair)) for pair in rows.tolist()}


@pytest.mark.parametrize("bits", [0, 2, 4])
def test_all_pairs_of_few_bits_are_found(bits: int) -> None:
    hashes, planted = planted_hashes(5000, 300, bits)
    found_pairs = similar_hashes(hashes)
    assert planted <= set(zip(found_pairs.first.tolist(), found_pairs.second.tolist(), strict=True))
    assert not len(found_pairs.crowded)


def test_a_pair_is_found_by_its_shifted_hash() -> None:
    hashes, _ = planted_hashes(5000, 0, 0)
    hashes[17, 1] = hashes[4000, 0]
    hashes[3000, 1] = hashes[25, 0]
    found_pairs = similar_hashes(hashes)
    assert found_pairs.first.tolist() == [17, 25]
    assert found_pairs.second.tolist() == [4000, 3000]
    assert found_pairs.shift.tolist() == [1, 1]
    assert found_pairs.of_second.tolist() == [False, True]


def test_the_search_among_200_000_takes_little_memory() -> None:
    hashes, planted = planted_hashes(200_000, 500, 4)
    tracemalloc.start()
    found_pairs = similar_hashes(hashes)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert planted <= set(zip(found_pairs.first.tolist(), found_pairs.second.tolist(), strict=True))
    # All pairs as single bits would be 5 GB. A table of keys is 32 MiB; the rest is a few arrays of the hashes' length.
    assert peak < 150 << 20


def test_a_crowd_is_bounded_and_said() -> None:
    hashes, planted = planted_hashes(30_000, 50, 3)
    # 20,000 images that are all alike, and still differ from each other: 2e8 pairs.
    draws = np.random.default_rng(3)
    crowd = np.setdiff1d(np.arange(30_000), np.array(list(planted)).ravel())[:20_000]
    hashes[crowd] = np.uint64(0x0F0F_F0F0_1234_5678) ^ (
        np.uint64(1) << draws.integers(0, 64, (20_000, 2), np.uint64)
    )
    found_pairs = similar_hashes(hashes)
    assert len(found_pairs.first) <= 20_000 * MOST_OF_AN_IMAGE + 50
    # Some outside may have two bands in common with it by chance.
    assert set(crowd.tolist()) <= set(found_pairs.crowded.tolist())
    assert len(found_pairs.crowded) < 20_100
    assert planted <= set(zip(found_pairs.first.tolist(), found_pairs.second.tolist(), strict=True))


def test_thumbnails_come_back_by_position(tiles: list[np.ndarray]) -> None:
    own = hashed([thumbnail(np.asarray(middle(tile))) for tile in tiles[:5]])
    with thumbnail_store(20) as store:
        store.put(np.array([3, 4, 9, 15, 16]), own)
        np.testing.assert_array_equal(store.read(np.array([16, 3, 9])), own.pixels[[4, 0, 2]])
        np.testing.assert_array_equal(store.hashes[[4, 15]], own.hashes[[1, 3]])


def test_a_folder_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    def refuse(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryDirectory", refuse)
    with pytest.raises(DataError, match=r"No space left.*TMPDIR.*--no-near"), thumbnail_store(5):
        pass
