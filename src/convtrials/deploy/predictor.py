"""The predictor: a finished run as one module, from stored pixels to class probabilities."""

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from convtrials.core.custom import source_of
from convtrials.core.errors import RunError
from convtrials.data.dataset import Dataset
from convtrials.data.sources.frame import EDGE
from convtrials.models.weights import load_weights
from convtrials.training.engine.network import recipe_network
from convtrials.training.run_directory import Run, load_run
from convtrials.training.run_documents import DatasetDescription

# As in `convtrials.data.batches`: a channel without contrast is not divided by zero.
_SMALLEST_STD = 0.5 / 255

#: No image of a run is larger, in pixels per side.
_LARGEST_SIDE = 4096


class Predictor(nn.Module):
    """Normalisation, network and softmax in one.

    Parameters
    ----------
    network : nn.Module
        Maps normalised images (N, C, H, W) to logits (N, K).
    mean, std : sequence of float, length C
        On the scale 0 to 1.
    precision : torch.dtype
        What the network takes; its weights must have it too.
    """

    mean: Tensor
    inverse_std: Tensor

    def __init__(
        self,
        network: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        precision: torch.dtype = torch.float32,
    ):
        super().__init__()
        self.network = network
        self.precision = precision
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).reshape(1, -1, 1, 1))
        spread = torch.tensor(std, dtype=torch.float32).clamp(min=_SMALLEST_STD)
        self.register_buffer("inverse_std", (1 / spread).reshape(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return probabilities, float32 (N, K), of images, uint8 (N, H, W, C)."""
        logits: Tensor = self.network(self.normalised(images))
        return logits.float().softmax(dim=1)

    def normalised(self, images: Tensor) -> Tensor:
        """Return what the network sees of images, uint8 (N, H, W, C): shape (N, C, H, W)."""
        # The same arithmetic in the same order as in training, so that fp32 probabilities are the same.
        pixels = images.permute(0, 3, 1, 2).to(torch.float32) * (1 / 255)
        return ((pixels - self.mean) * self.inverse_std).to(self.precision)


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """A finished run with its network in memory.

    Attributes
    ----------
    run : Run
        Its directory.
    network : nn.Module
        fp32, on the CPU, in evaluation mode, with the weights that count.
    image_shape : tuple of int
        (H, W, C).
    mean, std : tuple of float, length C
        What images were normalised with, on the scale 0 to 1.
    origin : dict
        model, seed, and the fingerprints of recipe and dataset: where the weights come from.
    """

    run: Run
    network: nn.Module
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    origin: dict[str, Any]

    @property
    def framing(self) -> dict[str, str]:
        """How images of other sizes were brought to this one: ``fit``, and ``pad`` where it fills; else empty."""
        options = self.run.dataset.options
        if options is None:  # made in memory
            return {}
        fit = str(options.get("fit") or "cover")
        return {"fit": fit, "pad": str(options.get("pad") or EDGE)} if fit == "pad" else {"fit": fit}

    def predictor(self, precision: torch.dtype = torch.float32) -> Predictor:
        """Return a predictor with its own copy of the network, in evaluation mode."""
        network = copy.deepcopy(self.network).to(precision)
        return Predictor(network, self.mean, self.std, precision).eval().requires_grad_(False)

    def check_dataset(self, dataset: Dataset) -> None:
        """Refuse a dataset that the run was not trained on."""
        if dataset.fingerprint != self.origin["dataset"]:
            raise RunError(
                f"{self.run.folder}: was trained on other data than {dataset.name} "
                f"(fingerprint {self.origin['dataset']!s:.12}, not {dataset.fingerprint:.12})"
            )


def check_usable(run: Run) -> None:
    """Refuse a directory without a finished run and its weights, before anything else is opened.

    Raises
    ------
    RunError
    """
    if load_run(run.folder).result.diverged:
        raise RunError(f"{run.folder}: the run diverged and has no weights to use")
    if not run.weights_path.is_file():
        raise RunError(
            f"{run.folder}: no {run.weights_path.name} here; a study keeps the weights of each arm's first seed"
        )


def load_finished_run(run: Run) -> FinishedRun:
    """Build a run's network and load the weights that count.

    Raises
    ------
    RunError
        If there is no finished run with weights, or its files are damaged or not its own.
    WeightsError, RecipeError
        If the weights do not fit, or your own network is gone.
    """
    check_usable(run)
    run.check_files(run.weights_path)
    recipe, data, identity = run.recipe, run.dataset, run.identity
    _check_sizes(data, f"{run.folder / 'dataset.json'}")
    for key, name in recipe.custom_parts().items():
        if key in ("model", "activation"):  # all else was for the training
            run.use_recorded_folder()
            _check_source(run, key, name)
    network = recipe_network(recipe, data.image_shape, len(data.class_names), identity.seed)
    replaced = load_weights(network, run.weights_path)
    if replaced:  # fine for initial weights, but these are a run's own
        raise RunError(f"{run.weights_path}: does not fit the run: {replaced[0]}")
    origin = {
        "model": recipe.model,
        "seed": identity.seed,
        "recipe": identity.recipe,
        "dataset": data.fingerprint,
    }
    return FinishedRun(run, network.eval(), data.class_names, data.image_shape, data.mean, data.std, origin)


def _check_sizes(data: DatasetDescription, where: str) -> None:
    """Refuse what no network can be built for."""
    if max(data.image_shape) > _LARGEST_SIDE:
        raise RunError(f"{where}: image_shape: allowed are at most {_LARGEST_SIDE} pixels per side")
    channels = data.image_shape[2]
    for key, values in (("mean", data.mean), ("std", data.std)):
        if len(values) != channels:
            raise RunError(f"{where}: {key} must be {channels} number(s) from 0 to 1")


def _check_source(run: Run, key: str, part: str) -> None:
    """Refuse your own network whose source has changed: the weights might fit it and mean something else."""
    source, known = source_of(key, part), run.identity.source(key)
    if source is None or known is None:
        return
    with open(source, "rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest()[:32] != known:
            raise RunError(
                f"{run.folder}: the source of {part} ({source}) has changed since the run was trained"
            )
