"""The glyphs dataset: the same bits everywhere, ranges that agree, even typefaces, and exact fixed-point steps."""

import hashlib
from importlib.metadata import version

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline
from scipy.ndimage import distance_transform_edt, map_coordinates

from convtrials.core.errors import DataError
from convtrials.data.selection import split_rows
from convtrials.data.sources.frame import Frame
from convtrials.data.sources.glyphs import GlyphsSource
from convtrials.data.sources.glyphs_distortion import DISTORTION, Distortion, draw
from convtrials.data.sources.glyphs_drawing import draw_images, rotation, sample, smooth_fields
from convtrials.data.sources.glyphs_typefaces import (
    CHARACTERS,
    FIELD_SIDE,
    TYPEFACES,
    UNITS_PER_PIXEL,
    distance_fields,
)

NATIVE = (28, 28, 1)
#: The typefaces come with matplotlib, are drawn by the FreeType in it, and the draws are NumPy's.
PINNED = {"matplotlib": "3.11.2", "freetype": "2.14.3", "numpy": "2.4"}
#: Of the first 720 images of version 1.
DIGEST = "64a8b8aee6b3ec69a53b05d3b7368a3f51785462e3f265e1ed4eb2b0c0de90c2"

#: Strengths of zero: the undistorted typefaces.
PLAIN = Distortion(
    rotation=0,
    slant=0,
    scale_least=1024,
    scale_most=1024,
    aspect=0,
    shift=0,
    elastic=0,
    stroke_thinner=0,
    stroke_thicker=0,
    stroke_uneven=0,
    edge_least=256,
    edge_most=256,
    gap_chance=0,
    scratch_chance=0,
    blot_chance=0,
    ink_least=255,
    noise=0,
)


@pytest.fixture(scope="module")
def images():
    found, bad = GlyphsSource(40).read(0, 1440, Frame(NATIVE))
    assert bad == []
    return found


def plain_images():
    """All 756 undistorted characters, shape (36, 21, 28, 28)."""
    fields = distance_fields().reshape(-1, FIELD_SIDE, FIELD_SIDE)
    drawn = draw_images(fields, np.arange(len(fields)), draw(0, len(fields), PLAIN))
    return drawn.reshape(len(CHARACTERS), len(TYPEFACES), 28, 28)


def test_first_images_have_the_known_bits(images):
    from matplotlib import ft2font

    here = {
        "matplotlib": version("matplotlib"),
        "freetype": ft2font.__freetype_version__,
        "numpy": ".".join(version("numpy").split(".")[:2]),
    }
    if here != PINNED:
        pytest.skip(f"the bits are known for {PINNED}; here are {here}")
    assert hashlib.sha256(images[:720].tobytes()).hexdigest() == DIGEST


def test_images_are_uint8_light_on_black_and_never_blank(images):
    assert images.dtype == np.uint8
    assert images.shape == (1440, *NATIVE)
    assert (images.reshape(len(images), -1).max(axis=1) >= DISTORTION.ink_least // 2).all()
    assert (images.reshape(len(images), -1).min(axis=1) < 40).all()
    assert np.median(images) < 40


def test_images_differ(images):
    assert len({image.tobytes() for image in images}) == len(images)


def test_a_smaller_set_is_the_beginning_of_a_larger_one(images):
    small, large = GlyphsSource(3), GlyphsSource(2800)
    count = len(small.scan().labels)
    np.testing.assert_array_equal(small.read(0, count, Frame(NATIVE))[0], images[:count])
    np.testing.assert_array_equal(large.scan().labels[:count], small.scan().labels)
    np.testing.assert_array_equal(large.scan().groups[:count], small.scan().groups)


@settings(max_examples=15, deadline=None)
@given(ends=st.lists(st.integers(0, 1440), min_size=2, max_size=2))
def test_any_range_agrees_with_the_whole(images, ends):
    start, stop = sorted(ends)
    part, _ = GlyphsSource(40).read(start, stop, Frame(NATIVE))
    np.testing.assert_array_equal(part, images[start:stop])


def test_the_default_set_is_even_in_classes_and_typefaces():
    listing = GlyphsSource().scan()
    assert len(listing.labels) == 100_800
    assert "".join(listing.class_names) == CHARACTERS
    assert listing.native_shape == NATIVE
    assert (listing.group_kind, listing.groups_are_sampled) == ("typeface", False)
    assert listing.group_names == TYPEFACES
    assert set(np.bincount(listing.labels)) == {2800}
    cells = np.zeros((36, len(TYPEFACES)), int)
    np.add.at(cells, (listing.labels, listing.groups), 1)
    assert set(cells.ravel()) == {133, 134}


@given(samples=st.integers(1, 90))
def test_typefaces_are_as_even_as_counts_allow(samples):
    listing = GlyphsSource(samples).scan()
    cells = np.zeros((36, len(TYPEFACES)), int)
    np.add.at(cells, (listing.labels, listing.groups), 1)
    assert (cells.sum(axis=1) == samples).all()
    assert cells.max() - cells.min() <= 1
    totals = cells.sum(axis=0)
    assert totals.max() - totals.min() <= 36 / 2  # no typeface is favoured over all classes


def test_other_shapes_are_resized(images):
    coloured, bad = GlyphsSource(40).read(0, 20, Frame((32, 48, 3)))
    assert coloured.shape == (20, 32, 48, 3)
    assert bad == []
    np.testing.assert_array_equal(coloured[..., 0], coloured[..., 2])
    assert abs(float(coloured.mean()) / float(images[:20].mean()) - 1) < 0.5


@pytest.mark.parametrize("samples", [0, -1, 10_000_000])
def test_impossible_sizes_are_refused(samples):
    with pytest.raises(DataError, match="allowed are 1 to"):
        GlyphsSource(samples)


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (5, 4), (0, 37)])
def test_ranges_beyond_the_set_are_refused(start, stop):
    with pytest.raises(DataError, match="do not exist"):
        GlyphsSource(1).read(start, stop, Frame(NATIVE))


def test_location_and_stamp_name_version_and_size():
    assert GlyphsSource(7).location == "glyphs?v1&samples_per_class=7"
    assert GlyphsSource(7).stamp() == GlyphsSource(8).stamp()
    assert GlyphsSource(7).stamp().startswith("glyphs v1 ")


@pytest.mark.parametrize("library", ["matplotlib", "numpy"])
def test_stamp_follows_the_libraries_that_decide_the_bits(library, monkeypatch):
    before = GlyphsSource(7).stamp()
    assert f"{library} {version(library)}" in before
    monkeypatch.setattr(
        "convtrials.data.sources.glyphs.version", lambda name: "0.0" if name == library else version(name)
    )
    assert GlyphsSource(7).stamp() != before


@pytest.mark.parametrize("seed", range(3))
def test_every_typeface_is_in_every_split(seed):
    listing = GlyphsSource(60).scan()
    split = split_rows(listing, np.arange(len(listing.labels)), (0.7, 0.15, 0.15), seed)
    for code in range(3):
        assert set(listing.groups[split == code]) == set(range(len(TYPEFACES)))


def test_a_missing_typeface_is_named(monkeypatch, tmp_path):
    import matplotlib

    monkeypatch.setattr(matplotlib, "get_data_path", lambda: str(tmp_path))
    with pytest.raises(DataError, match=r"DejaVuSans\.ttf"):
        distance_fields.__wrapped__()


def test_every_typeface_has_every_character_in_its_own_shape():
    plain = plain_images()
    for column, typeface in enumerate(TYPEFACES):
        assert len({image.tobytes() for image in plain[:, column]}) == 36, typeface
    assert len({image.tobytes() for image in plain.reshape(-1, 28, 28)}) == plain.shape[0] * plain.shape[1]


def test_undistorted_characters_fill_a_box_of_20_by_22():
    ink = plain_images().reshape(-1, 28, 28) >= 100
    heights, widths = ink.any(axis=2).sum(axis=1), ink.any(axis=1).sum(axis=1)
    assert heights.max() <= 21
    assert widths.max() <= 23
    # One of the two sides touches the box, up to the pixel that its edge falls in.
    assert (np.maximum(heights / 20, widths / 22) > 0.93).all()


def test_undistorted_characters_agree_with_their_own_bitmap_shrunk():
    """Ink from distances against coverage: the share of each pixel that the field says is inside."""
    fields = distance_fields().reshape(-1, FIELD_SIDE, FIELD_SIDE)
    coverage = (fields > 0).reshape(-1, 28, 4, 28, 4).mean(axis=(2, 4))
    drawn = plain_images().reshape(-1, 28, 28) / 255
    assert np.abs(drawn - coverage).mean() < 0.02
    for one, other in zip(drawn, coverage, strict=True):
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.97


def test_fields_are_signed_euclidean_distances():
    field = distance_fields()[CHARACTERS.index("R"), TYPEFACES.index("DejaVuSerif")].astype(float)
    ink = field > 0
    step = UNITS_PER_PIXEL / 4
    expected = (distance_transform_edt(ink) - 0.5 * ink) - (distance_transform_edt(~ink) - 0.5 * ~ink)
    expected = np.clip(expected * step, -6 * UNITS_PER_PIXEL + step / 2, 6 * UNITS_PER_PIXEL - step / 2)
    assert np.abs(field - expected).max() <= 1


def test_rotation_agrees_with_trigonometry():
    half_tangents = np.arange(-1024, 1025, dtype=np.int32)
    cosine, sine = rotation(half_tangents)
    angle = 2 * np.arctan(half_tangents / 1024)
    assert np.abs(cosine / 4096 - np.cos(angle)).max() < 1.5 / 4096
    assert np.abs(sine / 4096 - np.sin(angle)).max() < 1.5 / 4096


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_smooth_fields_are_cubic_splines(seed):
    controls = np.random.default_rng(seed).integers(-2000, 2001, (7, 7), dtype=np.int32)
    knots = np.arange(-3, 8)  # in spacings of 7 pixels
    places = (np.arange(28) + 0.5) / 7
    basis = np.stack([BSpline(knots, np.eye(7)[k], 3)(places) for k in range(7)], axis=1)
    expected = basis @ controls @ basis.T
    assert np.abs(smooth_fields(controls) - expected).max() < 2000 * 0.02


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_sampling_is_bilinear_and_extends_the_border(seed):
    generator = np.random.default_rng(seed)
    fields = distance_fields()[3, :2]
    across, down = generator.integers(-20 * 256, 20 * 256, (2, 2, 50), dtype=np.int32)
    found = sample(fields, np.array([1, 0]), across, down)
    middle, points = (FIELD_SIDE - 1) / 2, 4 / UNITS_PER_PIXEL
    for row, which in enumerate((1, 0)):
        places = np.stack([down[row] * points + middle, across[row] * points + middle])
        expected = map_coordinates(fields[which].astype(float), places, order=1, mode="nearest")
        assert np.abs(found[row] - expected).max() <= 2


def shares(blocks, name):
    return np.concatenate([getattr(draw(block, 252), name)[3] > 0 for block in range(blocks)]).mean()


@pytest.mark.parametrize("name", ["gap", "scratch", "blot"])
def test_damage_comes_as_often_as_said(name):
    expected = getattr(DISTORTION, f"{name}_chance") / 1024
    # 20 blocks of 252: five standard errors.
    assert abs(shares(20, name) - expected) < 5 * np.sqrt(expected * (1 - expected) / 5040)


def test_damage_does_what_its_name_says():
    fields = distance_fields()[:, 0]
    which = np.arange(36)

    def drawn(**strengths):
        return draw_images(fields, which, draw(0, 36, Distortion(**(PLAIN.__dict__ | strengths)))).astype(int)

    whole = drawn()
    gap = drawn(gap_chance=1024, gap_width=(256, 256))
    blot = drawn(blot_chance=1024, blot_radius=(800, 800))
    scratch = drawn(scratch_chance=1024, scratch_width=(256, 256))
    assert (gap <= whole).all()
    assert (blot <= whole).all()
    assert (scratch >= whole).all()
    # A strip two pixels wide across the middle, a disc of three pixels' radius, against hardly anything elsewhere.
    assert (gap < whole).any(axis=(1, 2)).mean() > 0.9
    assert (blot < whole).any(axis=(1, 2)).mean() > 0.7
    assert (scratch > whole + 100).sum(axis=(1, 2)).min() > 10


def test_thicker_strokes_have_more_ink():
    fields = distance_fields()[:, 0]

    def ink(movement):
        strengths = Distortion(**(PLAIN.__dict__ | {"stroke_thinner": -movement, "stroke_thicker": movement}))
        return draw_images(fields, np.arange(36), draw(0, 36, strengths)).reshape(36, -1).mean(axis=1)

    assert (ink(-100) < ink(0)).all()
    assert (ink(0) < ink(200)).all()


@pytest.mark.parametrize(
    "strength", ["shift", "rotation", "slant", "aspect", "elastic", "stroke_uneven", "noise"]
)
def test_each_strength_changes_the_images(strength):
    fields = distance_fields()[:, 0]
    plain = draw_images(fields, np.arange(36), draw(0, 36, PLAIN))
    bent = draw_images(fields, np.arange(36), draw(0, 36, Distortion(**(PLAIN.__dict__ | {strength: 400}))))
    assert (plain != bent).any(axis=(1, 2)).mean() > 0.9


def test_zoom_scales_the_ink_by_its_square():
    fields = distance_fields()[:, 0]
    which = np.arange(36)
    half = Distortion(**(PLAIN.__dict__ | {"scale_least": 512, "scale_most": 512}))
    small = draw_images(fields, which, draw(0, 36, half)).astype(float).sum(axis=(1, 2))
    whole = draw_images(fields, which, draw(0, 36, PLAIN)).astype(float).sum(axis=(1, 2))
    # Pixels are sampled, not integrated: a thin upright stroke may gain or lose a fifth, all together do not.
    np.testing.assert_allclose(small / whole, 0.25, rtol=0.25)
    np.testing.assert_allclose(small.sum() / whole.sum(), 0.25, rtol=0.03)
