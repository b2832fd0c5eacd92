"""Affine and elastic deformation, together in one bilinear interpolation.

Both say where in the source each output pixel is read. Added before sampling, they blur the image once, not
twice.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from convtrials.data.augmentation.config import Border

_PADDING_MODE: dict[Border, str] = {"edge": "border", "zeros": "zeros", "reflect": "reflection"}


@dataclass(frozen=True)
class AffineRange:
    """How far an affine change may go, each drawn uniformly and independently for each image.

    Attributes
    ----------
    degrees : float
        Rotation, up to this angle either way.
    translate : float
        Shift, up to this fraction of width and height either way.
    scale : float
        Size factor from ``1 - scale`` to ``1 + scale``.
    shear : float
        Slant, up to this angle (degrees) either way.
    """

    degrees: float = 0.0
    translate: float = 0.0
    scale: float = 0.0
    shear: float = 0.0

    @property
    def identity(self) -> bool:
        """Whether nothing is changed."""
        return not (self.degrees or self.translate or self.scale or self.shear)


def draw_affine(count: int, size: tuple[int, int], limits: AffineRange, generator: torch.Generator) -> Tensor:
    """Draw one affine matrix an image.

    Parameters
    ----------
    count : int
        Number of images B.
    size : (int, int)
        Height and width, pixels.
    limits : AffineRange
        How far to go.
    generator : torch.Generator
        On the CPU; gives five numbers per image, whatever the limits are.

    Returns
    -------
    Tensor of float64, shape (B, 2, 3)
        As `affine_matrices` returns them.
    """
    draws = torch.rand((count, 5), generator=generator).double() * 2 - 1
    angle, right, down, factor, slant = draws.unbind(1)
    return affine_matrices(
        degrees=angle * limits.degrees,
        shift=torch.stack([right * limits.translate * size[1], down * limits.translate * size[0]], dim=1),
        factor=1 + factor * limits.scale,
        slant=slant * limits.shear,
    )


def affine_matrices(degrees: Tensor, shift: Tensor, factor: Tensor, slant: Tensor) -> Tensor:
    """Matrices that say where in the source each output pixel is read.

    The image is slanted, rotated and scaled about its centre, then shifted; the matrices are the inverse.

    Parameters
    ----------
    degrees : Tensor, shape (B,)
        Rotation; positive is counter-clockwise as one looks at the image.
    shift : Tensor, shape (B, 2)
        Pixels to the right and down.
    factor : Tensor, shape (B,)
        Size factor; above 1 enlarges.
    slant : Tensor, shape (B,)
        Degrees; positive leans to the right like italics.

    Returns
    -------
    Tensor of float64, shape (B, 2, 3)
        Maps (x, y, 1) of the output to (x, y) of the source, in pixels from the centre, x right, y down.
    """
    angle, lean = torch.deg2rad(degrees.double()), torch.tan(torch.deg2rad(slant.double()))
    cos, sin = torch.cos(angle), torch.sin(angle)
    linear = torch.stack([cos + lean * sin, lean * cos - sin, sin, cos], dim=1).reshape(-1, 2, 2)
    linear = linear / factor.double()[:, None, None]
    return torch.cat([linear, -linear @ shift.double()[:, :, None]], dim=2)


def draw_elastic(
    count: int,
    size: tuple[int, int],
    alpha: float,
    sigma: float,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Draw one smooth displacement field an image, after Simard, Steinkraus and Platt (ICDAR 2003).

    Uniform noise on [-1, 1] at every pixel, smoothed by a Gaussian, times alpha. It is smoothed as on a torus, so
    every pixel moves equally far on average, those at the edge too: ``alpha / (2 sigma sqrt(3 pi))`` pixels in
    the root mean square along each axis (while sigma is at least about 1 and well below the image's size).

    Parameters
    ----------
    count : int
        Number of images B.
    size : (int, int)
        Height and width, pixels.
    alpha : float
        Factor, pixels, 0 or more.
    sigma : float
        Standard deviation of the Gaussian, pixels, above 0.
    generator : torch.Generator
        On the CPU; gives ``2 * H * W`` numbers per image.
    device : torch.device or str
        Where to smooth, and where the result is.

    Returns
    -------
    Tensor of float32, shape (B, 2, H, W)
        Displacement to the right and down, pixels.
    """
    height, width = size
    field = torch.rand((count, 2, height, width), generator=generator).mul_(2).sub_(1).to(device)
    down = torch.from_numpy(_torus_gaussian(height, sigma) * alpha).float().to(device)
    across = torch.from_numpy(_torus_gaussian(width, sigma)).float().to(device)
    return down @ (field @ across)


def _torus_gaussian(size: int, sigma: float) -> NDArray[np.float64]:
    """Gaussian smoothing along an axis that closes on itself, as a symmetric (size, size) matrix.

    At image sizes a dense product is several times faster than torch's convolution of one channel.
    """
    radius = int(4 * sigma + 0.5)
    steps = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (steps / sigma) ** 2)
    ring: NDArray[np.float64] = np.zeros(size)
    np.add.at(ring, steps % size, weights / weights.sum())
    matrix: NDArray[np.float64] = ring[(np.arange(size)[:, None] - np.arange(size)) % size]
    return matrix


def warp(images: Tensor, matrices: Tensor | None, field: Tensor | None, border: Border = "edge") -> Tensor:
    """Read every output pixel at its place in the source, by one bilinear interpolation.

    Parameters
    ----------
    images : Tensor of float, shape (B, C, H, W)
        On any device.
    matrices : Tensor, shape (B, 2, 3) or (B, 3, 3), or None
        From `draw_affine` or `affine_matrices`; with a third row, from `convtrials.data.augmentation.perspective`.
    field : Tensor, shape (B, 2, H, W), or None
        From `draw_elastic`.
    border : {"edge", "zeros", "reflect"}
        What lies beyond the edge of the source.

    Returns
    -------
    Tensor of float, shape (B, C, H, W)
        `images` itself where neither matrices nor field are given.
    """
    if matrices is None and field is None:
        return images
    height, width = images.shape[-2:]
    x = torch.arange(width, dtype=torch.float32, device=images.device) - (width - 1) / 2
    y = torch.arange(height, dtype=torch.float32, device=images.device) - (height - 1) / 2
    if matrices is None:
        matrices = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    place = matrices.to(torch.float32).to(images.device)[:, :, :, None]
    # (B, 2 or 3, W) and (B, 2 or 3, H): the source place is a sum of a part along each axis.
    along_x = place[:, :, 0] * x + place[:, :, 2]
    along_y = place[:, :, 1] * y
    source = along_x[:, :, None, :] + along_y[:, :, :, None]
    if matrices.shape[1] == 3:  # homogeneous
        source = source[:, :2] / source[:, 2:]
    if field is not None:
        source = source + field
    scale = torch.tensor([2 / width, 2 / height], device=images.device)
    grid = source.permute(0, 2, 3, 1) * scale
    return functional.grid_sample(
        images,
        grid.to(images.dtype),
        mode="bilinear",
        padding_mode=_PADDING_MODE[border],
        align_corners=False,
    )


def affine(
    images: Tensor, limits: AffineRange, border: Border = "edge", *, generator: torch.Generator
) -> Tensor:
    """Rotate, shift, scale and slant each image at random.

    Parameters
    ----------
    images : Tensor of float, shape (B, C, H, W)
        On any device.
    limits : AffineRange
        How far to go; all zero is the identity.
    border : {"edge", "zeros", "reflect"}
        What lies beyond the edge of the source.
    generator : torch.Generator
        On the CPU; gives five numbers per image.

    Returns
    -------
    Tensor of float, shape (B, C, H, W)
    """
    height, width = images.shape[-2:]
    matrices = draw_affine(len(images), (height, width), limits, generator)
    return warp(images, None if limits.identity else matrices, None, border)


def elastic(
    images: Tensor, alpha: float, sigma: float = 4.0, border: Border = "edge", *, generator: torch.Generator
) -> Tensor:
    """Deform each image by a smooth random field, after Simard et al. (2003).

    Parameters
    ----------
    images : Tensor of float, shape (B, C, H, W)
        On any device.
    alpha, sigma : float
        Strength (0 is the identity) and smoothness in pixels, see `draw_elastic`.
    border : {"edge", "zeros", "reflect"}
        What lies beyond the edge of the source.
    generator : torch.Generator
        On the CPU; gives ``2 * H * W`` numbers per image, none where alpha is 0.

    Returns
    -------
    Tensor of float, shape (B, C, H, W)
    """
    if alpha == 0:
        return images
    height, width = images.shape[-2:]
    field = draw_elastic(len(images), (height, width), alpha, sigma, generator, images.device)
    return warp(images, None, field, border)
