"""The pictures of docs/augmentation.md: what each augmentation does to a drawn scene and to a drawn character.

    python -m benchmarks.augmentation_pictures [--out docs/images]

Writes augmentations.png: a row for each operation, the strengths as its label says.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from convtrials.core.errors import RecipeError
from convtrials.data.augmentation.config import AugmentConfig
from convtrials.data.augmentation.pipeline import augmented

#: Rows: the recipe's keys as a reader would write them, and their values.
ROWS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("none", {}),
    ("degrees: 15, translate: 0.1", {"degrees": 15, "translate": 0.1}),
    ("perspective: 0.5", {"perspective": 0.5}),
    ("elastic_alpha: 34", {"elastic_alpha": 34}),
    ("randaugment: true", {"randaugment": True}),
    ("randaugment: {magnitude: 27}", {"randaugment": {"magnitude": 27}}),
    ("trivialaugment: true", {"trivialaugment": True}),
    ("color_jitter: 0.4", {"color_jitter": 0.4}),
    ("color_jitter: {hue: 0.2}", {"color_jitter": {"hue": 0.2}}),
    ("blur: 2", {"blur": 2.0}),
    ("noise: 0.1", {"noise": 0.1}),
    ("erasing: 0.5", {"erasing": 0.5}),
    ("mixup: 1", {"mixup": 1.0}),
    ("cutmix: 1", {"cutmix": 1.0}),
)

#: Images in a row: scenes in colour, then grey characters.
SCENES, CHARACTERS = 8, 6
SIDE = 64


def scene(number: int) -> Image.Image:
    """Draw a house, a tree and a sun, each time in other colours and at other places."""
    draws, large = np.random.default_rng(number), SIDE * 4
    image = Image.new("RGB", (large, large))
    pen = ImageDraw.Draw(image)
    sky, ground = (
        draws.integers((60, 120, 180), (140, 190, 250)),
        draws.integers((50, 110, 30), (130, 170, 80)),
    )
    horizon = int(large * draws.uniform(0.55, 0.7))
    for row in range(large):
        share = min(row / horizon, 1) * 0.5
        colour = sky * (1 - share) + 255 * share if row < horizon else ground * (1.2 - 0.5 * row / large)
        pen.line([(0, row), (large, row)], fill=tuple(np.clip(colour, 0, 255).astype(int).tolist()))
    x, y = draws.integers(20, large - 60), draws.integers(10, 50)
    pen.ellipse([x, y, x + 40, y + 40], fill=(250, 220, 90))
    left, width, top = (
        int(draws.integers(15, 110)),
        int(draws.integers(70, 110)),
        horizon - int(draws.integers(30, 60)),
    )
    wall, roof = (tuple(draws.integers(90, 250, 3).tolist()) for _ in range(2))
    pen.rectangle([left, top, left + width, horizon + 40], fill=wall)
    pen.polygon([(left - 10, top), (left + width // 2, top - 45), (left + width + 10, top)], fill=roof)
    pen.rectangle([left + 15, top + 20, left + 37, top + 42], fill=(250, 245, 200))
    trunk = left + width + 25
    pen.rectangle([trunk, horizon - 20, trunk + 10, horizon + 50], fill=(100, 70, 40))
    leaves = tuple(draws.integers((20, 90, 20), (90, 180, 60)).tolist())
    pen.ellipse([trunk - 25, horizon - 80, trunk + 35, horizon - 10], fill=leaves)
    return image.resize((SIDE, SIDE), Image.Resampling.BOX)


def character(number: int) -> Image.Image:
    """Draw a letter, white on black."""
    image = Image.new("L", (SIDE, SIDE))
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(50)
    pen.text((SIDE / 2, SIDE / 2), "AER5k8"[number % 6], 255, font, anchor="mm")
    return image


def batch(images: list[Image.Image]) -> Tensor:
    """Images as `Batches.raw` gives them."""
    pixels = np.stack([np.asarray(image).reshape(SIDE, SIDE, -1) for image in images])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().mul_(1 / 255)


def row_of(section: dict[str, Any], images: Tensor, step: int) -> list[np.ndarray[Any, Any]]:
    """Augment a batch; return the images as (H, W, 3), or nothing where the operation is not for such images."""
    try:
        AugmentConfig.model_validate(section).check_images((SIDE, SIDE, images.shape[1]))
    except RecipeError:
        return []
    made = augmented(images, torch.arange(len(images)), AugmentConfig.model_validate(section), 0, step).images
    return list(made.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).clamp(0, 1).numpy())


def main() -> None:
    """Draw the table of pictures."""
    from convtrials.reports.style import figure_style, new_figure

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    given = parser.parse_args()
    colour, grey = batch([scene(n) for n in range(SCENES)]), batch([character(n) for n in range(CHARACTERS)])
    with figure_style():
        figure = new_figure(11, 0.78 * len(ROWS), layout=None)
        axes = figure.subplots(len(ROWS), SCENES + CHARACTERS, gridspec_kw={"hspace": 0.06, "wspace": 0.06})
        for line, (label, section) in zip(axes, ROWS, strict=True):
            pictures = row_of(section, colour, step=3) + row_of(section, grey, step=3)
            for place in line:
                place.set_axis_off()
            for place, picture in zip(line, pictures, strict=False):
                place.imshow(picture, interpolation="nearest")
            line[0].text(
                -0.1, 0.5, label, transform=line[0].transAxes, ha="right", va="center", family="monospace"
            )
        figure.savefig(given.out / "augmentations.png", dpi=100, bbox_inches="tight")


if __name__ == "__main__":
    main()
