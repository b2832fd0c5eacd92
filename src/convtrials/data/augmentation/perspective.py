"""Perspective: the image as seen from another place, as a 3x3 matrix for the one interpolation of `warp`."""

import torch
from torch import Tensor

#: The corners in units of half the width and half the height, x right, y down.
_CORNERS = ((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0))


def draw_perspective(
    count: int, size: tuple[int, int], distortion: float, generator: torch.Generator
) -> Tensor:
    """Draw one perspective an image: each of its corners is moved inwards.

    Parameters
    ----------
    count : int
        Number of images B.
    size : (int, int)
        Height and width, pixels.
    distortion : float
        From 0 to less than 2/3 (beyond that the four corners may no longer be convex, and the image folds). A corner
        moves by a share of half the width, and another of half the height, each uniform from 0 to this: the
        geometry of torchvision's ``RandomPerspective(distortion_scale)``, in fractions of pixels.
    generator : torch.Generator
        On the CPU; gives eight numbers per image.

    Returns
    -------
    Tensor of float64, shape (B, 3, 3)
        Maps (x, y, 1) of the output to the source in homogeneous coordinates, in pixels from the centre, x right,
        y down.
    """
    draws = torch.rand((count, 4, 2), generator=generator).double()
    corners = torch.tensor(_CORNERS, dtype=torch.float64)
    moved = corners * (1 - distortion * draws)
    half = torch.tensor([size[1] / 2, size[0] / 2, 1.0], dtype=torch.float64)
    return half[:, None] * homographies(moved, corners.expand_as(moved)) / half


def homographies(points: Tensor, images: Tensor) -> Tensor:
    """Find the projective maps that take four points to four others.

    Parameters
    ----------
    points, images : Tensor of float64, shape (B, 4, 2)
        No three of a set on a line.

    Returns
    -------
    Tensor of float64, shape (B, 3, 3)
        The last element is 1.
    """
    x, y = points.unbind(2)
    one, none = torch.ones_like(x), torch.zeros_like(x)
    rows = []
    for u, place in (
        (images[:, :, 0], (x, y, one, none, none, none)),
        (images[:, :, 1], (none, none, none, x, y, one)),
    ):
        rows.append(torch.stack([*place, -u * x, -u * y], dim=2))
    known = torch.cat([images[:, :, 0], images[:, :, 1]], dim=1)
    solved = torch.linalg.solve(torch.cat(rows, dim=1), known)
    return torch.cat([solved, torch.ones_like(solved[:, :1])], dim=1).view(-1, 3, 3)


def composed(affine: Tensor | None, perspective: Tensor) -> Tensor:
    """Join both into one map: affine first, as one looks at the image, then seen in perspective.

    Parameters
    ----------
    affine : Tensor of float64, shape (B, 2, 3), or None
    perspective : Tensor of float64, shape (B, 3, 3)

    Returns
    -------
    Tensor of float64, shape (B, 3, 3)
    """
    if affine is None:
        return perspective
    last = torch.tensor([0.0, 0.0, 1.0], dtype=affine.dtype).expand(len(affine), 1, 3)
    return torch.cat([affine, last], dim=1) @ perspective
