"""Simulated studies whose truth is known exactly: correct/incorrect matrices, or log losses, from a latent model.

Whether recipe r, trained with seed s, gets image i right depends on the sign of

    q_r + easiness_i + taste_ri + seed_rs + noise_rsi

all terms normal: how easy the image is, how much it suits the recipe, how well the seed came out, and the rest, by
which two seeds of one recipe disagree on single images. Over new seeds *and* new images the sum is normal with a known
variance, so a recipe's true accuracy is ``Phi(q_r / sigma_r)`` and q_r can be chosen to give any truth. Writers, where
there are any, take a share of easiness and taste with them to all their images.
"""

from dataclasses import dataclass
from functools import cached_property
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import multivariate_normal, norm

#: The variance of the noise term; all others are relative to it.
NOISE = 1.0

#: Steepness of the log loss in the latent sum: chosen so that a recipe of 91% accuracy has a log loss near 0.3.
STEEPNESS = 0.75


@dataclass(frozen=True)
class World:
    """What the studies of a scenario have in common. Accuracies and differences are parts of one, not percent.

    Attributes
    ----------
    accuracy : float
        The baseline's true accuracy.
    seed_sd : float or tuple of float
        Standard deviation of a run's *true* accuracy between seeds (the finite test set adds its own). A pair:
        every recipe of every study draws its own from that range.
    easiness_sd, taste_sd : float
        Of the image, and of the image with the recipe. The defaults give runs of one recipe that disagree on 4.5%
        of images and runs of two recipes on 5.6%.
    pairing : float
        Correlation of the seed term between recipes with the same seed, 0 to 1.
    unstable : int or None
        Number of the arm (0 is the baseline) whose seeds differ `unstable_factor` times as much.
    writer_share : float
        Share of easiness and taste variance that belongs to the writer.
    images_a_writer : float or None
        Mean number; sizes vary by a factor of about two either way. None: no writers.
    loss : bool
        Scores are minus the log loss instead of right or wrong.
    """

    accuracy: float = 0.91
    seed_sd: float | tuple[float, float] = 0.002
    easiness_sd: float = 3.85
    taste_sd: float = 1.0
    pairing: float = 0.0
    unstable: int | None = None
    unstable_factor: float = 3.0
    writer_share: float = 0.0
    images_a_writer: float | None = None
    loss: bool = False

    @cached_property
    def latent(self) -> float:
        """Variance of the latent sum without the seed term."""
        return self.easiness_sd**2 + self.taste_sd**2 + NOISE

    def disagreement(self, same_recipe: bool = True) -> float:
        """Return the share of images on which two runs disagree, seeds' main effects left out."""
        shared = self.easiness_sd**2 + (self.taste_sd**2 if same_recipe else 0.0)
        z, r = norm.ppf(self.accuracy), shared / self.latent
        both_wrong = multivariate_normal.cdf([-z, -z], cov=[[1, r], [r, 1]])
        return float(2 * (norm.cdf(-z) - both_wrong))


@dataclass(frozen=True)
class Study:
    """One simulated study; A arms, the baseline first.

    Attributes
    ----------
    scores : ndarray of bool or float32, shape (A, seeds, images)
        Right or wrong; or minus the log loss.
    truth : ndarray, shape (A,)
        The true mean score of each arm over new seeds and new images.
    writers : ndarray of int64, shape (images,), or None
        The writer of each image.
    """

    scores: NDArray[np.bool_] | NDArray[np.float32]
    truth: NDArray[np.float64]
    writers: NDArray[np.int64] | None


def simulate(
    world: World, effects: NDArray[np.float64], seeds: int, images: int, generator: np.random.Generator
) -> Study:
    """Simulate one study with a technique for each of `effects` (true differences in accuracy)."""
    arms = len(effects) + 1
    accuracy = world.accuracy + np.concatenate([[0.0], effects])
    spread = _latent_seed_sd(world, arms, generator)
    latent_sd = np.sqrt(world.latent + spread**2)
    centre = ndtri(accuracy) * latent_sd
    writers = _writers(world, images, generator)
    of_image = _appeal(world.easiness_sd, 1, world, images, writers, generator)
    appeal = of_image + _appeal(world.taste_sd, arms, world, images, writers, generator)
    shared = sqrt(world.pairing) * generator.standard_normal(seeds)
    luck = spread[:, None] * (shared + sqrt(1 - world.pairing) * generator.standard_normal((arms, seeds)))
    level = (centre[:, None] + luck).astype(np.float32)[:, :, None] + appeal.astype(np.float32)[:, None, :]
    noise = generator.standard_normal((arms, seeds, images), dtype=np.float32)
    if not world.loss:
        return Study(noise > -level, accuracy, writers)
    noise += level
    truth = np.array([_mean_score(c, s) for c, s in zip(centre, latent_sd, strict=True)])
    return Study(_score(noise), truth, writers)


def _latent_seed_sd(world: World, arms: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Turn seed SDs of accuracy into SDs of the latent term, to first order."""
    sd = (
        generator.uniform(*world.seed_sd, size=arms)
        if isinstance(world.seed_sd, tuple)
        else np.full(arms, world.seed_sd)
    )
    if world.unstable is not None and world.unstable < arms:
        sd[world.unstable] *= world.unstable_factor
    slope = norm.pdf(norm.ppf(world.accuracy)) / sqrt(world.latent)
    latent: NDArray[np.float64] = sd / slope
    return latent


def _writers(world: World, images: int, generator: np.random.Generator) -> NDArray[np.int64] | None:
    """Give images to writers of very different diligence until there are enough."""
    if world.images_a_writer is None:
        return None
    count = int(2 * images / world.images_a_writer) + 50
    sizes = 1 + generator.poisson(world.images_a_writer * generator.gamma(2.0, 0.5, size=count))
    return np.repeat(np.arange(count), sizes)[:images]


def _appeal(
    sd: float,
    rows: int,
    world: World,
    images: int,
    writers: NDArray[np.int64] | None,
    generator: np.random.Generator,
) -> NDArray[np.float32]:
    own = generator.standard_normal((rows, images), dtype=np.float32)
    if writers is None:
        return np.float32(sd) * own
    theirs = generator.standard_normal((rows, int(writers[-1]) + 1), dtype=np.float32)[:, writers]
    share = world.writer_share
    return np.float32(sd * sqrt(1 - share)) * own + np.float32(sd * sqrt(share)) * theirs


def _score(latent: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return minus the log loss of the true class, at least -15.9 like the product's."""
    return -np.minimum(np.logaddexp(np.float32(0), np.float32(-STEEPNESS) * latent), np.float32(15.9))


def _mean_score(centre: float, sd: float) -> float:
    """Integrate `_score` over the normal latent sum: trapezoids over ±12 SD, exact to about ten digits."""
    z = np.linspace(-12, 12, 4001)
    value = -np.minimum(np.logaddexp(0, -STEEPNESS * (centre + sd * z)), 15.9)
    return float(np.sum(value * norm.pdf(z)) * (z[1] - z[0]))
