"""Whole-batch augmentation in torch: `pipeline` puts the operations in order.

1. `config`: the recipe's ``augment`` section (imports no torch).
2. `operations`: flip, padded crop, erasing, mixup. `warp`: affine, `perspective` and elastic in one interpolation.
   `photometric`: operations on pixel values, for `jitter` and `policies` (RandAugment, TrivialAugment). `noise`: noise
   and blur. `mixing`: CutMix, and one of CutMix and mixup where a recipe has both.
3. `pipeline.augmented`: all of it as a function of images, labels, config, seed and step.
"""

from convtrials.data.augmentation.config import AugmentConfig

__all__ = ["AugmentConfig"]
