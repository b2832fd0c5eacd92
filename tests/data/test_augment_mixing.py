"""CutMix against the paper's own rectangle, and the choice between it and mixup."""

import numpy as np
import pytest
import torch
from scipy import stats

from convtrials.data.augmentation import AugmentConfig
from convtrials.data.augmentation.mixing import cutmix
from convtrials.data.augmentation.pipeline import augmented


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbered(count: int = 6, height: int = 11, width: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    """Each image is plain, its value its number: so every pixel says where it is from."""
    labels = torch.arange(count)
    return labels.float()[:, None, None, None].expand(-1, 2, height, width).clone(), labels


def papers_rectangle(height: int, width: int, rng: np.random.Generator, alpha: float) -> tuple[int, ...]:
    """The authors' code, clovaai/CutMix-PyTorch, function rand_bbox."""
    cut = np.sqrt(1.0 - rng.beta(alpha, alpha))
    cut_h, cut_w = int(height * cut), int(width * cut)
    y, x = rng.integers(height), rng.integers(width)
    y1, y2 = (int(np.clip(y + side * (cut_h // 2), 0, height)) for side in (-1, 1))
    x1, x2 = (int(np.clip(x + side * (cut_w // 2), 0, width)) for side in (-1, 1))
    return y1, y2, x1, x2


@pytest.mark.parametrize("seed", range(12))
def test_label_weights_are_the_area_that_is_left(seed: int) -> None:
    images, labels = numbered()
    made, partners, lam = cutmix(images, labels, 1.0, generator=generator(seed))
    assert sorted(partners.tolist()) == labels.tolist()
    for image, own, partner in zip(made, labels, partners, strict=True):
        assert torch.equal(image[0], image[1])
        foreign = (image[0] == partner) if own != partner else torch.zeros_like(image[0], dtype=torch.bool)
        assert bool(((image[0] == own) | foreign).all())
        if own != partner:
            assert lam == 1 - int(foreign.sum()) / foreign.numel()  # exactly
            rows, columns = foreign.any(1), foreign.any(0)
            assert int(rows.sum()) * int(columns.sum()) == int(foreign.sum())  # one rectangle


@pytest.mark.parametrize("alpha", [1.0, 0.3])
def test_rectangles_are_distributed_as_in_the_papers_code(alpha: float) -> None:
    height, width = 20, 24
    images, labels = numbered(2, height, width)
    found: dict[str, list[float]] = {"area": [], "top": [], "left": [], "bottom": [], "right": []}
    for seed in range(1200):
        made, partners, lam = cutmix(images, labels, alpha, generator=generator(seed))
        found["area"].append(1 - lam)
        if partners[0] != 0 and lam < 1:
            rows, columns = (made[0, 0] == 1).any(1).nonzero(), (made[0, 0] == 1).any(0).nonzero()
            for key, value in zip(("top", "bottom"), (rows.min(), rows.max() + 1), strict=True):
                found[key].append(float(value))
            for key, value in zip(("left", "right"), (columns.min(), columns.max() + 1), strict=True):
                found[key].append(float(value))
    rng = np.random.default_rng(0)
    theirs = np.array([papers_rectangle(height, width, rng, alpha) for _ in range(20_000)])
    areas = (theirs[:, 1] - theirs[:, 0]) * (theirs[:, 3] - theirs[:, 2])
    assert stats.ks_2samp(found["area"], areas / (height * width)).pvalue > 1e-4
    theirs = theirs[areas > 0]
    for column, key in enumerate(("top", "bottom", "left", "right")):
        assert len(found[key]) > 300
        assert stats.ks_2samp(found[key], theirs[:, column]).pvalue > 1e-4
    assert max(found["bottom"]) == height  # some are cut off at the border
    assert min(found["top"]) == 0


def test_off_is_the_identity_and_the_input_stays() -> None:
    images, labels = numbered()
    made, partners, lam = cutmix(images, labels, 0.0, generator=generator(0))
    assert made is images
    assert torch.equal(partners, labels)
    assert lam == 1
    before = images.clone()
    cutmix(images, labels, 1.0, generator=generator(0))
    assert torch.equal(images, before)


def test_with_both_one_is_drawn_for_each_step_and_draws_what_it_draws_alone() -> None:
    images, labels = numbered()
    alone = {"mixup": AugmentConfig(mixup=0.4), "cutmix": AugmentConfig(cutmix=1.0)}
    both = AugmentConfig(mixup=0.4, cutmix=1.0)
    cut = 0
    for step in range(300):
        made = augmented(images, labels, both, 0, step)
        same = [
            name for name, config in alone.items() if equal(made, augmented(images, labels, config, 0, step))
        ]
        assert len(same) == 1
        cut += same == ["cutmix"]
    assert stats.binomtest(cut, 300).pvalue > 1e-4


def equal(one: object, other: object) -> bool:
    return (
        torch.equal(one.images, other.images)  # type: ignore[attr-defined]
        and torch.equal(one.mixed_labels, other.mixed_labels)  # type: ignore[attr-defined]
        and one.lam == other.lam  # type: ignore[attr-defined]
    )
