"""How an image of another size becomes one of the dataset's: cover, pad, stretch."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import convtrials as ct
from convtrials.core.errors import DataError, RecipeError
from convtrials.core.log import quiet
from convtrials.data.open import load_dataset, reframed
from convtrials.data.sources.frame import Frame, pad_colour
from convtrials.data.sources.images import fit


def picture(height: int, width: int, colour: tuple[int, int, int] = (10, 200, 30)) -> Image.Image:
    """A plain picture with a red left edge and a blue right one."""
    values = np.full((height, width, 3), colour, np.uint8)
    values[:, : width // 4] = (255, 0, 0)
    values[:, -(width // 4) :] = (0, 0, 255)
    return Image.fromarray(values)


def fitted(image: Image.Image, how: str, pad: str = "edge", side: int = 16) -> np.ndarray:
    return np.asarray(fit(image, Frame((side, side, 3), how, pad)))  # type: ignore[arg-type]


def test_cover_cuts_the_ends_off_and_pad_and_stretch_keep_them() -> None:
    wide = picture(20, 80)
    red, blue = np.array([255, 0, 0]), np.array([0, 0, 255])
    covered, padded, stretched = (fitted(wide, how) for how in ("cover", "pad", "stretch"))
    assert not (np.abs(covered.astype(int) - red).sum(-1) < 60).any()
    for kept in (padded, stretched):
        assert (kept[8, 0] == red).all()
        assert (kept[8, -1] == blue).all()
    assert (stretched[0, 8] == stretched[15, 8]).all()


@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    side=st.integers(1, 40),
    pad=st.sampled_from(["edge", "black", "white", "grey", "#ffcc00"]),
    how=st.sampled_from(["cover", "pad", "stretch"]),
)
def test_every_size_becomes_the_frame_and_plain_pictures_stay_plain(
    height: int, width: int, side: int, pad: str, how: str
) -> None:
    plain = Image.new("RGB", (width, height), (7, 90, 200))
    got = fitted(plain, how, pad, side)
    assert got.shape == (side, side, 3)
    inside = (got == (7, 90, 200)).all(-1)
    if how != "pad" or pad == "edge":
        assert inside.all()
        return
    # The part that is filled is what the shorter side leaves, in the given colour.
    assert inside.any()
    assert (got[~inside] == pad_colour(pad)).all()
    scale = min(side / height, side / width)
    assert inside.sum() == max(1, round(height * scale)) * max(1, round(width * scale))


def test_padding_is_even_on_both_sides() -> None:
    got = fitted(Image.new("RGB", (10, 40), "red"), "pad", "white", 16)
    red = (got == (255, 0, 0)).all(-1)
    assert red.any(1).all()
    assert np.flatnonzero(red.any(0)).tolist() == [6, 7, 8, 9]


def test_grey_images_are_padded_in_grey() -> None:
    grey = Image.new("L", (10, 40), 9)
    for pad, value in (("white", 255), ("#ff0000", 76), ("edge", 9)):
        got = np.asarray(fit(grey, Frame((16, 16, 1), "pad", pad)))
        assert got[0, 0] == value


def test_other_words_are_refused() -> None:
    with pytest.raises(DataError, match="pad: 'purple': allowed are edge, black"):
        pad_colour("purple")
    with pytest.raises(DataError, match="fit: 'crop': allowed are cover, pad, stretch"):
        load_dataset("glyphs", fit="crop")
    with pytest.raises(DataError, match="pad: '#12345g'"):
        load_dataset("glyphs", pad="#12345g")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes that differ in their ends alone, which cover cuts off."""
    for number in range(24):
        values = np.full((20, 60, 3), 128, np.uint8)
        values[:, :8] = 250 if number % 2 else 5
        values[number % 20, 30] = number
        place = tmp_path / "photos" / ("bright" if number % 2 else "dark")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(place / f"{number}.png")
    return tmp_path / "photos"


def test_a_recipe_says_how_and_the_run_records_it(photos: Path, tmp_path: Path) -> None:
    recipe = ct.Recipe(
        model="alexnet-lite", width=0.25, epochs=1, batch_size=8, image_size=16, fit="pad", pad="white"
    )
    data = ct.load_dataset(photos, image_size=16)
    with quiet():
        run = ct.train(recipe, data, out=tmp_path / "run", precision="fp32", threads=1)
        assert run.dataset.options["fit"] == "pad"
        assert run.dataset.options["pad"] == "white"
        assert run.dataset.fingerprint != data.fingerprint
        # The same command again finds the run, and the data can be opened again from it.
        again = ct.train(recipe, data, out=tmp_path / "run", precision="fp32", threads=1)
        assert again.open_dataset().fingerprint == run.dataset.fingerprint
    plain = ct.Recipe(model="alexnet-lite", width=0.25, epochs=1, image_size=16)
    assert (
        plain.fingerprint()
        == ct.Recipe(model="alexnet-lite", width=0.25, epochs=1, image_size=16, fit=None).fingerprint()
    )
    assert "fit" not in plain.to_yaml()


def test_a_colour_that_fills_nothing_is_refused(photos: Path) -> None:
    with pytest.raises(DataError, match="pad: white: has no effect with fit cover; needed: fit pad"):
        load_dataset(photos, image_size=16, pad="white")
    for fitted in ("cover", "stretch"):
        with pytest.raises(RecipeError, match=f"pad = white: has no effect with fit = {fitted}"):
            ct.Recipe(fit=fitted, pad="white")
    padded = ct.Recipe(fit="pad", pad="white")
    assert padded.changed({"fit": "stretch"}).dataset_options() == {"fit": "stretch"}
    assert padded.changed({"pad": "black"}).dataset_options() == {"fit": "pad", "pad": "black"}
    data = load_dataset(photos, image_size=16, fit="pad", pad="white")
    stretched = reframed(data, {"fit": "stretch"})
    assert stretched.fingerprint == load_dataset(photos, image_size=16, fit="stretch").fingerprint
    assert reframed(stretched, {"fit": "pad", "pad": "white"}).fingerprint == data.fingerprint


def test_weights_of_images_go_along(photos: Path) -> None:
    data = ct.load_dataset(photos, image_size=16)
    data = replace(data, weights=np.arange(len(data), dtype=np.float32))
    padded = reframed(data, {"fit": "pad"})
    assert padded.fingerprint != data.fingerprint
    assert np.array_equal(padded.weights, data.weights)


def test_a_study_compares_pad_with_cover(photos: Path, tmp_path: Path) -> None:
    base = ct.Recipe(model="alexnet-lite", width=0.25, epochs=2, batch_size=8, image_size=16)
    study = ct.Study(base, {"pad": {"fit": "pad"}, "stretch": {"fit": "stretch"}}, seeds=2)
    with quiet():
        result = study.run(
            ct.load_dataset(photos, image_size=16), tmp_path / "study", precision="fp32", threads=1
        )
    prints = {
        run.recipe.fit: run.dataset.fingerprint for run in map(ct.load_run, run_folders(tmp_path / "study"))
    }
    assert set(prints) == {None, "pad", "stretch"}
    assert len(set(prints.values())) == 3
    assert set(result.verdicts()) == {"pad", "stretch"}


def run_folders(study: Path) -> list[Path]:
    return sorted(path.parent for path in study.glob("runs/*/*/run.json"))


def test_data_in_memory_stays_as_it_is(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    data = ct.Dataset.from_arrays(images, np.arange(60) % 2)
    with pytest.raises(DataError, match="made in memory"):
        ct.train(
            ct.Recipe(model="alexnet-lite", width=0.25, epochs=1, image_size=16), data, out=tmp_path / "run"
        )
