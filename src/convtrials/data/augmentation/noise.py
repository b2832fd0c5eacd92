"""Gaussian noise and Gaussian blur."""

import math

import torch
from torch import Tensor


def gaussian_noise(images: Tensor, deviation: float, *, generator: torch.Generator) -> Tensor:
    """Add independent Gaussian noise to every value, and cut off at black and white.

    Parameters
    ----------
    images : Tensor of float, shape (B, C, H, W)
        Values from 0 to 1, on any device.
    deviation : float
        Standard deviation of the noise, on the same scale; 0 is the identity.
    generator : torch.Generator
        On the CPU; gives about ``C * H * W`` numbers per image.

    Returns
    -------
    Tensor of float, shape (B, C, H, W)
        Where a value was near 0 or 1, half of the noise is cut off.
    """
    if deviation == 0:
        return images
    count, channels, height, width = images.shape
    normal = _normal(count, channels * height * width, generator, images.device)
    # As channels_last images lie in memory.
    normal = normal.view(count, height, width, channels).permute(0, 3, 1, 2)
    return images.add(normal, alpha=deviation).clamp_(0, 1)


def _normal(count: int, numbers: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """Draw (count, numbers) standard normal values by the formula of Box and Muller (1958).

    Not by `torch.randn`: there the last values of a tensor depend on its size, here those of an image on its place.
    """
    pairs = (numbers + 1) // 2
    uniform = torch.rand((count, 2, pairs), generator=generator).to(device)
    radius = uniform[:, 0].neg().log1p_().mul_(-2).sqrt_()
    angle = uniform[:, 1].mul_(2 * math.pi)
    return torch.cat([radius * torch.cos(angle), radius * torch.sin(angle)], dim=1)[:, :numbers]


def gaussian_blur(images: Tensor, largest: float, *, generator: torch.Generator) -> Tensor:
    """Blur each image by a Gaussian of a drawn width.

    Beyond the edge there is nothing: the weights of the pixels inside are divided by their sum, so that a plain
    image stays plain.

    Parameters
    ----------
    images : Tensor of float, shape (B, C, H, W)
        On any device.
    largest : float
        The Gaussian's standard deviation is uniform from 0 to this many pixels; 0 is the identity.
    generator : torch.Generator
        On the CPU; gives one number per image.

    Returns
    -------
    Tensor of float, shape (B, C, H, W)
    """
    if largest == 0:
        return images
    sigma = (torch.rand(len(images), generator=generator) * largest).clamp_(min=0.01)
    count, channels, height, width = images.shape
    down = _gaussian(height, sigma).to(images.device)
    across = down if width == height else _gaussian(width, sigma).to(images.device)
    # The matrix on the left both times: several times faster than on the right. First as channels_last images lie.
    rows = down @ images.permute(0, 2, 3, 1).reshape(count, height, width * channels)
    turned = (
        rows.view(count, height, width, channels).transpose(1, 2).reshape(count, width, height * channels)
    )
    return (across @ turned).view(count, width, height, channels).permute(0, 3, 2, 1)


def _gaussian(size: int, sigma: Tensor) -> Tensor:
    """Smoothing along an axis as a matrix for each sigma, shape (B, size, size); rows have the sum 1."""
    weights = torch.exp(-0.5 * (torch.arange(size) / sigma[:, None]).square())
    at = torch.arange(size)
    matrix = weights[:, (at[:, None] - at).abs()]
    return matrix / matrix.sum(2, keepdim=True)
