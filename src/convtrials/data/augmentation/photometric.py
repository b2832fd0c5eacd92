"""Operations on pixel values: brightness, contrast, saturation, hue, sharpness, and those made for eight bits.

Each takes images (B, C, H, W) on the scale 0 to 1 and an amount for each image, and returns new images on that scale.
Nothing is rounded to eight bits, except where an operation is defined by them: posterize, solarize and equalize work
on ``round(255 x)``, so that 8-bit images come out as from PIL.ImageOps.
"""

import torch
from torch import Tensor

#: Weights of red, green and blue in the grey of a colour (ITU-R BT.601), as in PIL.
LUMA = (0.299, 0.587, 0.114)


def grey(images: Tensor) -> Tensor:
    """Return the brightness that the eye sees, shape (B, 1, H, W); grey images themselves."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images[:, :1], images[:, 1:2], images[:, 2:3]
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply by the factor; 0 is black, 1 the image itself."""
    return (images * _each(factor, images)).clamp_(0, 1)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply the distance from the image's mean grey; 0 is that grey, 1 the image itself."""
    return _blended(grey(images).mean(dim=(1, 2, 3), keepdim=True), images, factor)


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply each pixel's distance from its own grey; 0 is a grey image, 1 the image itself."""
    return _blended(grey(images), images, factor)


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply the distance from the smoothed image; 0 is the smoothed image, 1 the image itself, 2 sharpened.

    Smoothed by PIL's kernel: the eight neighbours weigh 1, the pixel itself 5. Pixels at the edge are not changed.
    """
    if min(images.shape[-2:]) <= 2:
        return images.clone()
    rows = images[..., :-2] + images[..., 1:-1] + images[..., 2:]
    neighbours = rows[..., :-2, :] + rows[..., 1:-1, :] + rows[..., 2:, :]
    smooth = images.clone()
    smooth[..., 1:-1, 1:-1] = (neighbours + 4 * images[..., 1:-1, 1:-1]) / 13
    return _blended(smooth, images, factor)


def hue(images: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue by a share of the colour circle, -0.5 to 0.5; value and saturation (HSV) stay."""
    red, green, blue = images.contiguous().unbind(1)  # several times faster than with steps of three
    value = torch.maximum(torch.maximum(red, green), blue)
    lowest = torch.minimum(torch.minimum(red, green), blue)
    chroma = value - lowest
    safe = torch.where(chroma > 0, chroma, 1)
    # In sixths of the circle from red.
    sixth = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    sixth = sixth + 6 * _each(turn, images)[:, 0]
    # A channel loses the chroma in so far as its own hue is away (Wikipedia, HSL and HSV, "alternative").
    away = (torch.remainder(start + sixth, 6) for start in (5, 3, 1))
    return torch.stack(
        [value - chroma * torch.minimum(at, 4 - at).clamp_(0, 1) for at in away], dim=1
    ).clamp_(0, 1)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keep so many of the eight bits of each value, 1 to 8."""
    step = _each(2 ** (8 - bits), images)
    return _value((_level(images) / step).floor_() * step)


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Invert values at or above the threshold, 0 to 256 on the 8-bit scale."""
    return torch.where(_level(images) >= _each(threshold, images), 1 - images, images)


def autocontrast(images: Tensor, _: Tensor) -> Tensor:
    """Stretch each channel so that its darkest value is 0 and its brightest 1; a plain channel stays as it is."""
    low, high = images.amin(dim=(2, 3), keepdim=True), images.amax(dim=(2, 3), keepdim=True)
    flat = high <= low
    return torch.where(flat, images, (images - low) / torch.where(flat, 1, high - low))


def equalize(images: Tensor, _: Tensor) -> Tensor:
    """Flatten the histogram of each channel, by PIL's rule; the result has eight bits."""
    count, channels, height, width = images.shape
    level = _level(images).long().reshape(count * channels, height * width)
    histogram = torch.zeros((len(level), 256), dtype=torch.int64, device=images.device)
    histogram.scatter_add_(1, level, torch.ones_like(level))
    brightest = histogram.gather(1, level.amax(1, keepdim=True))
    step = (height * width - brightest) // 255
    below = histogram.cumsum(1) - histogram
    table = ((below + step // 2) // step.clamp(min=1)).clamp_(max=255)
    equal = _value(table.gather(1, level).view(images.shape).to(images.dtype))
    # Fewer than 255 pixels are darker than the brightest: PIL changes nothing then, plain channels included.
    return torch.where((step == 0).view(count, channels, 1, 1), images, equal)


def _each(amount: Tensor, images: Tensor) -> Tensor:
    """One number an image, spread over it."""
    return amount.to(images.device, images.dtype)[:, None, None, None]


def _blended(other: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    """Go from the other image (factor 0) through the image itself (1) and beyond."""
    return torch.lerp(other.expand_as(images), images, _each(factor, images)).clamp_(0, 1)


def _level(images: Tensor) -> Tensor:
    """Values on the 8-bit scale, whole numbers from 0 to 255."""
    return (images * 255).round_().clamp_(0, 255)


def _value(level: Tensor) -> Tensor:
    """From the 8-bit scale back, exactly as pixels are read (`Batches.raw`)."""
    return level * (1 / 255)
