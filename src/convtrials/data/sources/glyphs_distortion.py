"""How hard the glyphs are: every strength in one place, and the random draws made from them.

All are integers in the units given, so that an image comes out the same on every machine.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convtrials.core.streams import stream_generator

#: The image's side in pixels.
SIDE = 28
#: Control points per side of the smooth random fields (displacement, stroke): one every 7 pixels, and one beyond.
CONTROLS = SIDE // 7 + 3

Integers = NDArray[np.int32]


@dataclass(frozen=True)
class Distortion:
    """The strengths of all distortions; a draw is uniform up to each of them.

    Attributes
    ----------
    rotation : int
        Tangent of half the largest angle, in 1/1024, either way (165: 18 degrees).
    slant : int
        Largest sideways shear, in 1/1024, either way (512: the top moves half a height beyond the foot).
    scale_least, scale_most : int
        Size in 1/1024 of an undistorted character, which is 20 pixels high.
    aspect : int
        Largest change of the width alone, in 1/1024, either way.
    shift : int
        Largest displacement of the centre along each axis, in 1/256 pixel.
    elastic : int
        Largest displacement of a control point along each axis, in 1/256 pixel.
    stroke_thinner, stroke_thicker : int
        How far the edges may move in and out, in 1/256 pixel: a stroke's width changes by twice that.
    stroke_uneven : int
        As before, but varying smoothly over the image: the largest movement at a control point.
    edge_least, edge_most : int
        Steepness of the edges in grey levels per pixel: few blur the image, 256 are as sharp as pixels allow.
    gap_chance, scratch_chance, blot_chance : int
        How often, in 1/1024, a strip of ink is missing, a straight line is drawn across, and a disc of ink is missing.
    gap_width, scratch_width, blot_radius : tuple of int
        Least and largest half width or radius of these, in 1/256 pixel.
    ink_least : int
        Grey level of the palest ink; the strongest is 255.
    noise : int
        Largest amplitude of the noise of single pixels, in grey levels.
    """

    rotation: int = 165
    slant: int = 360
    scale_least: int = 640
    scale_most: int = 1130
    aspect: int = 120
    shift: int = 640
    elastic: int = 930
    stroke_thinner: int = 100
    stroke_thicker: int = 220
    stroke_uneven: int = 250
    edge_least: int = 90
    edge_most: int = 256
    gap_chance: int = 370
    gap_width: tuple[int, int] = (150, 420)
    scratch_chance: int = 220
    scratch_width: tuple[int, int] = (40, 190)
    blot_chance: int = 280
    blot_radius: tuple[int, int] = (400, 1000)
    ink_least: int = 130
    noise: int = 70


#: What the built-in dataset uses: tuned so that AlexNets land between 90% and 96% (measured: docs/data.md).
DISTORTION = Distortion()


@dataclass(frozen=True, eq=False)
class Draws:
    """The random numbers behind n images, in the units of `Distortion`.

    Attributes
    ----------
    half_tangent, slant, scale, aspect, stroke, edge, ink, noise_level : ndarray of int32, shape (n,)
        One number per image.
    shift : ndarray of int32, shape (2, n)
        Across and down.
    controls : ndarray of int32, shape (3, n, 7, 7)
        At the control points: displacement across and down, movement of the edges.
    gap, scratch, blot : ndarray of int32, shape (4, n)
        Centre across and down in 1/256 pixel from the middle of the image, half tangent of the direction in 1/1024
        (a full half turn; a blot has no use for it), half width; a width of 0 where there is none.
    noise : ndarray of int8, shape (n, 28, 28)
        In 1/127 of `noise_level`.
    """

    half_tangent: Integers
    slant: Integers
    scale: Integers
    aspect: Integers
    stroke: Integers
    edge: Integers
    ink: Integers
    noise_level: Integers
    shift: Integers
    controls: Integers
    gap: Integers
    scratch: Integers
    blot: Integers
    noise: NDArray[np.int8]

    def part(self, images: slice) -> "Draws":
        """Return the numbers of some of the images."""
        second = ("shift", "controls", "gap", "scratch", "blot")  # their images lie along the second axis
        return Draws(
            **{name: all_[:, images] if name in second else all_[images] for name, all_ in vars(self).items()}
        )


def draw(block: int, count: int, strengths: Distortion = DISTORTION) -> Draws:
    """Make the random draws of one block of images.

    Parameters
    ----------
    block : int
        Which block; equal blocks give equal draws.
    count : int
        Images in a block, n.
    strengths : Distortion
        The bounds of the draws.

    Returns
    -------
    Draws
        For n images.
    """
    generator = stream_generator(0, "glyphs", block)

    def between(least: int, most: int, *shape: int) -> Integers:
        return generator.integers(least, most, shape, dtype=np.int32, endpoint=True)

    def within(most: int, *shape: int) -> Integers:
        return between(-most, most, *shape)

    def damage(chance: int, width: tuple[int, int]) -> Integers:
        reach = 9 * 256  # the middle of the image, where the character is
        centre, half_tangent = within(reach, 2, count), within(1024, 1, count)
        present = between(1, 1024, 1, count) <= chance
        return np.concatenate([centre, half_tangent, between(*width, 1, count) * present])

    s = strengths
    displacement = within(s.elastic, 2, count, CONTROLS, CONTROLS)
    uneven = within(s.stroke_uneven, 1, count, CONTROLS, CONTROLS)
    return Draws(
        half_tangent=within(s.rotation, count),
        slant=within(s.slant, count),
        scale=between(s.scale_least, s.scale_most, count),
        aspect=within(s.aspect, count),
        stroke=between(-s.stroke_thinner, s.stroke_thicker, count),
        edge=between(s.edge_least, s.edge_most, count),
        ink=between(s.ink_least, 255, count),
        noise_level=between(0, s.noise, count),
        shift=within(s.shift, 2, count),
        controls=np.concatenate([displacement, uneven]),
        gap=damage(s.gap_chance, s.gap_width),
        scratch=damage(s.scratch_chance, s.scratch_width),
        blot=damage(s.blot_chance, s.blot_radius),
        noise=generator.integers(-127, 127, (count, SIDE, SIDE), dtype=np.int8, endpoint=True),
    )
