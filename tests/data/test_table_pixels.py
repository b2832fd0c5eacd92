"""Tables of one pixel a column: the files that people have, and what their numbers mean."""

import gzip
import shutil
from pathlib import Path

import numpy as np
import pandas
import pytest
from little_tables import PIXELS, check_pixels, labels, pixel_rows, refusal, write_csv

from convtrials.core.errors import DataError
from convtrials.data.check import check_source
from convtrials.data.export import write_split
from convtrials.data.open import load_dataset
from convtrials.data.sources.find import find_source
from convtrials.data.sources.frame import Frame
from convtrials.data.sources.idx_folder import IdxSource
from convtrials.data.sources.table_pixels import PixelTableSource, side_and_channels

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "data" / "emnist36"
NAMES = [f"pixel{number}" for number in range(36)]


def numbers(count: int = 40) -> list[int]:
    return [number % 4 for number in range(count)]


@pytest.mark.parametrize(
    "header",
    [
        ["label", *NAMES],
        ["label", *(f"{row}x{column}" for row in range(1, 7) for column in range(1, 7))],
        ["Label", *map(str, range(36))],
        ["class", *(f"px_{number:04d}" for number in range(36))],
    ],
)
def test_named_columns(tmp_path: Path, header: list[str]) -> None:
    data = load_dataset(write_csv(tmp_path / "t.csv", pixel_rows(PIXELS, labels()), header))
    check_pixels(data)
    assert [data.class_names[code] for code in data.labels] == labels()
    assert "images from 36 columns of pixels" in data.notes[0]


def test_label_last(tmp_path: Path) -> None:
    rows = [[*row[1:], row[0]] for row in pixel_rows(PIXELS, numbers())]
    check_pixels(load_dataset(write_csv(tmp_path / "named.csv", rows, [*NAMES, "label"])))
    data = load_dataset(write_csv(tmp_path / "bare.csv", rows))
    check_pixels(data)
    assert "no names of columns: the last one is the label" in data.notes


def test_a_z_handwritten_data(tmp_path: Path) -> None:
    """Kaggle's file: no header, label 0 to 25 first and sorted, 784 pixels, dark corners."""
    pixels = np.zeros((52, 28, 28), np.uint8)
    pixels[:, 5:20, 5:20] = np.random.default_rng(1).integers(0, 256, (52, 15, 15))
    own = [number // 2 for number in range(52)]
    file = write_csv(tmp_path / "A_Z Handwritten Data.csv", pixel_rows(pixels, own))
    data = load_dataset(file, ratios=[0.5, 0.5, 0.0])
    check_pixels(data, pixels)
    assert data.class_names == tuple(map(str, range(26)))
    assert any("'A_Z Handwritten Data-mapping.txt'" in note for note in data.notes)
    mapping = "\n".join(f"{number} {65 + number}" for number in range(26))
    (tmp_path / "A_Z Handwritten Data-mapping.txt").write_text(mapping)
    assert load_dataset(file, ratios=[0.5, 0.5, 0.0]).class_names == tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def test_columns_that_pandas_numbered(tmp_path: Path) -> None:
    frame = pandas.DataFrame(pixel_rows(PIXELS, numbers()))
    frame.to_csv(tmp_path / "t.csv", index=False)
    check_pixels(load_dataset(tmp_path / "t.csv"))


def test_words_and_pixels_without_names(tmp_path: Path) -> None:
    check_pixels(load_dataset(write_csv(tmp_path / "t.csv", pixel_rows(PIXELS, labels()))))


def test_first_or_last_may_be_open(tmp_path: Path) -> None:
    pixels = PIXELS.copy()
    pixels[:, 5, 5] = np.arange(40) % 3
    file = write_csv(tmp_path / "t.csv", pixel_rows(pixels, numbers()))
    assert "--columns label=0 or --columns label=36" in refusal(file)
    check_pixels(load_dataset(file, columns={"label": 0}), pixels)


def test_train_and_test_of_kaggle(tmp_path: Path) -> None:
    """``train.csv`` has labels, ``test.csv`` has none."""
    write_csv(tmp_path / "train.csv", pixel_rows(PIXELS, numbers()), ["label", *NAMES])
    write_csv(tmp_path / "test.csv", [row[1:] for row in pixel_rows(PIXELS, numbers())], NAMES)
    write_csv(tmp_path / "sample_submission.csv", [[1, 0]], ["ImageId", "Label"])
    data = load_dataset(tmp_path)
    check_pixels(data)
    assert data.manifest["split_by"] == "convtrials"
    assert "test.csv has no labels, and is left out" in data.notes


@pytest.mark.parametrize("names", ["sign_mnist_{}.csv", "fashion-mnist_{}.csv", "{}.csv"])
def test_pairs_of_files(tmp_path: Path, names: str) -> None:
    write_csv(tmp_path / names.format("train"), pixel_rows(PIXELS[:28], numbers(28)), ["label", *NAMES])
    write_csv(tmp_path / names.format("test"), pixel_rows(PIXELS[28:], numbers(12)), ["label", *NAMES])
    data = load_dataset(tmp_path)
    check_pixels(data)
    assert (data.split[28:] == 2).all()
    assert data.counts()["val"] >= 4
    assert data.counts()["test"] == 12


@pytest.fixture(scope="module")
def emnist(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray, np.ndarray]:
    """The real images in the form of ``emnist-balanced-{train,test}.csv``, and what they look like upright."""
    if not REAL.is_dir():
        pytest.skip("no real images here")
    folder = tmp_path_factory.mktemp("emnist")
    upright = IdxSource(REAL)
    listing = upright.scan()
    assert listing.native_shape is not None
    places = np.concatenate([np.flatnonzero(listing.labels == label)[:6] for label in range(36)])
    images = np.concatenate(
        [upright.read(int(p), int(p) + 1, Frame(listing.native_shape))[0] for p in places]
    )
    own = listing.labels[places]
    mapping = (REAL / "emnist-36-mapping.txt").read_text()
    (folder / "emnist-balanced-mapping.txt").write_text(mapping)
    stored = images[..., 0].transpose(0, 2, 1)  # as the files of NIST have them
    test = np.arange(len(own)) % 6 == 5
    for part, mask in (("train", ~test), ("test", test)):
        write_csv(folder / f"emnist-balanced-{part}.csv", pixel_rows(stored[mask], own[mask].tolist()))
    order = np.concatenate([np.flatnonzero(~test), np.flatnonzero(test)])
    return folder, images[order], own[order]


def test_emnist_is_upright_and_named(emnist: tuple[Path, np.ndarray, np.ndarray]) -> None:
    folder, images, own = emnist
    data = load_dataset(folder, ratios=[0.8, 0.2, 0.0])
    np.testing.assert_array_equal(data.images, images)
    assert data.class_names == tuple("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    np.testing.assert_array_equal(data.labels, own)
    assert data.counts()["test"] == 36
    assert any("turned upright" in note for note in data.notes)
    # A real letter: the L has its foot at the bottom, so that the lower half is wider.
    ell = images[own == 21].astype(np.int64).sum(0)[..., 0]
    assert (ell[18:].sum(0) > ell.max() / 4).sum() > (ell[:8].sum(0) > ell.max() / 4).sum()


def test_emnist_in_an_archive(emnist: tuple[Path, np.ndarray, np.ndarray], tmp_path: Path) -> None:
    folder, images, _ = emnist
    archive = shutil.make_archive(str(tmp_path / "emnist"), "zip", folder)
    data = load_dataset(archive, ratios=[0.8, 0.2, 0.0])
    np.testing.assert_array_equal(data.images, images)
    assert data.class_names == tuple("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def test_the_real_files_are_the_ground_truth() -> None:
    if not REAL.is_dir():
        pytest.skip("no real images here")
    raw = gzip.decompress((REAL / "emnist-36-test-images-idx3-ubyte.gz").read_bytes()[:])[16 : 16 + 784]
    source = IdxSource(REAL)
    listing = source.scan()
    assert listing.split is not None
    first = int(np.flatnonzero(listing.split == 2)[0])
    np.testing.assert_array_equal(
        source.read(first, first + 1, Frame((28, 28, 1)))[0][0, ..., 0],
        np.frombuffer(raw, np.uint8).reshape(28, 28).T,
    )


class TestNumbers:
    def test_decimals_from_0_to_1(self, tmp_path: Path) -> None:
        rows = [
            [label, *(image.ravel() / 255).tolist()] for label, image in zip(numbers(), PIXELS, strict=True)
        ]
        check_pixels(load_dataset(write_csv(tmp_path / "t.csv", rows, ["label", *NAMES])))

    def test_decimals_from_0_to_255(self, tmp_path: Path) -> None:
        rows = [
            [label, *image.ravel().astype(float).tolist()]
            for label, image in zip(numbers(), PIXELS, strict=True)
        ]
        rows[0][1] = 10.4
        pixels = PIXELS.copy()
        pixels[0, 0, 0] = 10
        check_pixels(load_dataset(write_csv(tmp_path / "t.csv", rows, ["label", *NAMES])), pixels)

    def test_a_decimal_far_down(self, tmp_path: Path) -> None:
        pixels = np.tile(PIXELS, (60, 1, 1))
        rows = pixel_rows(pixels, [number % 4 for number in range(2400)])
        rows[2000][5] = 77.7
        pixels[2000].flat[4] = 78
        check_pixels(load_dataset(write_csv(tmp_path / "t.csv", rows, ["label", *NAMES])), pixels)

    def test_dark_beginnings_do_not_decide(self, tmp_path: Path) -> None:
        pixels = np.tile(PIXELS, (60, 1, 1))
        pixels[:1500] = pixels[:1500] > 128
        rows = pixel_rows(pixels, [number % 4 for number in range(2400)])
        check_pixels(load_dataset(write_csv(tmp_path / "t.csv", rows, ["label", *NAMES])), pixels)

    def test_zeros_and_ones_are_black_and_white(self, tmp_path: Path) -> None:
        ink = (PIXELS > 128).astype(np.uint8)
        data = load_dataset(write_csv(tmp_path / "t.csv", pixel_rows(ink, numbers()), ["label", *NAMES]))
        check_pixels(data, ink * 255)
        assert "pixels are 0 and 1; 1 is read as white" in data.notes

    @pytest.mark.parametrize("wrong", [256, -1, 1e9, -0.5, "nan", "", "x", "1;2"])
    @pytest.mark.parametrize("row", [0, 2000])
    def test_others_are_refused(self, tmp_path: Path, wrong: object, row: int) -> None:
        rows = pixel_rows(np.tile(PIXELS, (60, 1, 1)), [number % 4 for number in range(2400)])
        rows[row][5] = wrong
        text = refusal(write_csv(tmp_path / "t.csv", rows, ["label", *NAMES]))
        assert "are read" in text or "is no number" in text
        if isinstance(wrong, str):
            assert f"line {row + 2}, column 'pixel4'" in text

    def test_more_bits_where_they_are_named(self, tmp_path: Path) -> None:
        rows = pixel_rows(PIXELS.astype(int) * 257, numbers())
        file = write_csv(tmp_path / "t.csv", rows, ["label", *NAMES])
        assert "others with --bits" in refusal(file)
        check_pixels(load_dataset(file, bits=16))

    @pytest.mark.parametrize("change", [-1, 1])
    def test_rows_of_other_lengths(self, tmp_path: Path, change: int) -> None:
        rows = pixel_rows(PIXELS, numbers())
        rows[30] = rows[30][:change] if change < 0 else [*rows[30], 7]
        for header in (["label", *NAMES], None):
            text = refusal(
                write_csv(tmp_path / "t.csv", rows, header), **({} if header else {"columns": {"label": 0}})
            )
            assert "fields" in text
            assert "32" in text or "31" in text

    def test_no_square_is_refused(self, tmp_path: Path) -> None:
        rows = [row[:-1] for row in pixel_rows(PIXELS, numbers())]
        assert "35 columns of pixels; square images" in refusal(
            write_csv(tmp_path / "t.csv", rows, ["label", *NAMES[:-1]])
        )
        assert side_and_channels("t", 784) == (28, 1)
        assert side_and_channels("t", 2352) == (28, 3)
        with pytest.raises(DataError):
            side_and_channels("t", 785)


@pytest.mark.parametrize("planar", [False, True])
def test_colours(tmp_path: Path, planar: bool) -> None:
    steps = np.linspace(0, 200, 8)
    smooth = steps[None, :, None, None] * 0.6 + steps[None, None, :, None] * 0.6 + np.array([0, 15, -9])
    images = np.clip(smooth + np.random.default_rng(0).normal(0, 2, (40, 8, 8, 3)), 0, 255).astype(np.uint8)
    stored = images.transpose(0, 3, 1, 2) if planar else images
    names = ["label", *(f"pixel{number:04d}" for number in range(192))]
    data = load_dataset(write_csv(tmp_path / "t.csv", pixel_rows(stored, numbers()), names))
    np.testing.assert_array_equal(data.images, images)
    order = "all red, all green, all blue" if planar else "red, green, blue of each pixel"
    assert any(order in note for note in data.notes)


def test_an_id_and_other_columns_are_no_pixels(tmp_path: Path) -> None:
    rows = [[f"n{number}", *row] for number, row in enumerate(pixel_rows(PIXELS, labels()))]
    check_pixels(load_dataset(write_csv(tmp_path / "t.csv", rows, ["id", "label", *NAMES])))


def test_any_range_reads_as_the_whole(tmp_path: Path) -> None:
    pixels = np.tile(PIXELS, (60, 1, 1))
    source = find_source(
        write_csv(tmp_path / "t.csv", pixel_rows(pixels, [n % 4 for n in range(2400)]), ["label", *NAMES])
    )
    assert isinstance(source, PixelTableSource)
    source.scan()
    frame = Frame((6, 6, 1))
    for start, stop in ((0, 5), (2000, 2400), (3, 1900), (3, 4), (0, 2400)):
        np.testing.assert_array_equal(source.read(start, stop, frame)[0][..., 0], pixels[start:stop])


def test_samples_check_and_split(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "t.csv", pixel_rows(PIXELS, labels()), ["label", *NAMES])
    data = load_dataset(file, samples_per_class=6)
    assert len(data) == 24
    report = check_source(find_source(file))
    assert not report.spoiled
    assert report.images == 40
    counts = write_split(file, tmp_path / "out")
    assert sum(counts.values()) == 40
    written = load_dataset(tmp_path / "out")
    key = sorted(image.tobytes() for image in written.images)
    assert key == sorted(image.tobytes() for image in PIXELS)


def test_split_group_and_weight_columns(tmp_path: Path) -> None:
    rows = [
        [*row, ("train", "train", "train", "val", "test")[number // 4 % 5], f"w{number // 4}", number]
        for number, row in enumerate(pixel_rows(PIXELS, labels()))
    ]
    file = write_csv(tmp_path / "t.csv", rows, ["label", *NAMES, "split", "writer", "sample_weight"])
    data = load_dataset(file)
    check_pixels(data)
    assert data.counts() == {"train": 24, "val": 8, "test": 8}
    assert data.group_kind == "writer"
    assert data.weights is not None
    assert data.weights[39] == 39
