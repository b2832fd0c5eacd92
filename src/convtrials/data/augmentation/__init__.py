"""Whole-batch augmentation in torch: one file an idea, `pipeline` puts them in order.

1. `config`: the recipe's ``augment`` section (imports no torch).
2. `placement`: flip and padded crop; pixels move, values stay.
3. `warp`: affine and elastic in one interpolation.
4. `erasing`, `mixup`: parts taken away, images blended.
5. `pipeline.augmented`: all of it as a function of images, labels, config, seed and step.
"""

from convtrials.data.augmentation.config import AugmentConfig

__all__ = ["AugmentConfig"]
