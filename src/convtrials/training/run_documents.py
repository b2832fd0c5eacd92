"""The files of a run directory: one model for each, which writes it and reads it back."""

import hashlib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import Field, Strict, model_validator

from convtrials.core.documents import Amount, Count, Document, Several, Share, Text

#: No run takes thirty years: larger ones are damage, and would overflow where costs are compared.
Seconds = Annotated[float, Field(ge=0, lt=1e9)]


class Identity(Document):
    """What makes a run this run; equal identities mean the same run.

    Attributes
    ----------
    seed : int
        Initial weights, order and draws follow from it.
    recipe, dataset : str or None
        Fingerprints.
    initial_weights : str or None
        Digest of the file of initial weights, where there is one.
    "image weights" : str or None
        Digest of the weights of the dataset's images, where it has any.
    "KEY source" : str or None
        Digest of the source of your own model, optimizer or other part, where the recipe names one.
    """

    seed: int
    recipe: Text | None = None
    dataset: Text | None = None
    initial_weights: Text | None = Field(None, alias="initial weights")

    def source(self, key: str) -> str | None:
        """Return the digest of the source of your own part of the recipe, such as ``"model"``; None if unknown."""
        found = (self.model_extra or {}).get(f"{key} source")
        return found if isinstance(found, str) else None

    @property
    def digest(self) -> str:
        """The identity in a few letters, by which other files of the run name it."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class RunOrigin(Document):
    """``run.json``: what the run is, and the folder that the user's own modules were found from when it began."""

    identity: Identity
    folder: Text | None = None


class Counts(Document):
    """Images in each split."""

    train: Count
    val: Count
    test: Count


class DatasetDescription(Document):
    """``dataset.json``: enough to open the same data again, and to draw without it.

    Attributes
    ----------
    source : str or None
        What `load_dataset` takes for it; None if it was made in memory.
    options : dict or None
        Of `load_dataset`.
    class_names : tuple of str
        Two or more.
    image_shape : tuple of int
        (H, W, C).
    mean, std : tuple of float, length C
        What images are normalised with, on the scale 0 to 1.
    pack : str or None
        The folder of the packed images.
    pixel_scale : dict or None
        What is white in images of more than 8 bits, where it is not the usual value (`PixelScale`).
    """

    name: Text
    source: Text | None = None
    options: dict[str, Any] | None = None
    fingerprint: Text
    counts: Counts
    class_names: Several[Text] = Field(min_length=2)
    image_shape: Annotated[
        tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]],
        Strict(False),
    ]
    mean: Several[Share] = ()
    std: Several[Share] = ()
    pack: Text | None = None
    pixel_scale: dict[str, float] | None = None


class Environment(Document):
    """``environment.json``: what a run ran on. Of other versions and machines some of it is not known."""

    convtrials: Text | None = None
    python: Text | None = None
    platform: Text | None = None
    processor: Text | None = None
    cores: Count | None = None
    cpu_capability: Text | None = None
    vector_units: Several[Text] = ()
    gpu: Text | None = None
    packages: dict[str, Text | None] = Field(default_factory=dict)
    git_commit: Text | None = None
    #: How many runs were trained at once, and in what way, where it was more than one.
    replicas: dict[str, Any] | None = None


class HistoryEntry(Document):
    """A line of ``history.jsonl``: an epoch that has been validated.

    Attributes
    ----------
    epoch : int
        From 1.
    step : int
        Optimizer steps taken since the run began.
    train_loss, val_loss : float or None
        Nats; training as it was seen, augmented and under dropout.
    train_accuracy, val_accuracy, val_macro_f1 : float or None
        0 to 1.
    learning_rate : float or None
        Of the last step.
    images_per_second : float or None
        In training steps of this epoch.
    seconds, cpu_seconds : float
        Spent in training steps since the run began: by the clock, and by all threads together.
    """

    epoch: int = Field(ge=1)
    step: Count
    train_loss: float | None = None
    train_accuracy: Share | None = None
    val_loss: float | None = None
    val_accuracy: Share
    val_macro_f1: Share | None = None
    learning_rate: float | None = None
    images_per_second: Amount | None = None
    seconds: Seconds
    cpu_seconds: Seconds


class LoggedRun(Document):
    """``logged-SERVICE.json``: the run's name in a service that it is sent to, so that a resume goes on with it there.

    Attributes
    ----------
    id : str
        The service's own.
    epochs : int
        The last epoch that was sent, for services that do not say.
    """

    id: Text
    epochs: Count = 0


class RunResult(Document):
    """``result.json``: how a run ended. Present means ended.

    Attributes
    ----------
    status : {"finished", "diverged"}
        Diverged: the loss was no longer a finite number; there are no weights and no predictions.
    seed, epochs, steps : int
        Epochs that were validated, optimizer steps taken.
    parameters : int or None
        Of the network.
    train_seconds, cpu_seconds : float
        Spent in training steps: by the clock, and by all threads together.
    seconds_since_start_or_resume : float or None
    kept : {"last", "best", "ema"} or None
        Which weights count; None if diverged, as the rest of this list.
    best_epoch : int or None
        The epoch of the weights that count.
    val_loss, val_accuracy, val_macro_f1 : float or None
        Of the weights that count.
    test_accuracy : float or None
        None without a test split as well.
    diverged_at, diverged_in, advice
        Steps before the run diverged, ``training`` or ``validation``, and what to try; None if finished.
    run : str or None
        `Identity.digest`; None in files of the first version, as `files`.
    files : dict of str to str, or None
        Digests of the files that the result rests on.
    """

    status: Literal["finished", "diverged"]
    seed: int
    epochs: Count
    steps: Count
    stopped_early: bool = False
    parameters: Count | None = None
    train_seconds: Seconds
    cpu_seconds: Seconds
    seconds_since_start_or_resume: Amount | None = None
    diverged_at: Count | None = None
    diverged_in: Text | None = None
    advice: Text | None = None
    kept: Text | None = None
    best_epoch: Count | None = None
    val_loss: float | None = None
    val_accuracy: Share | None = None
    val_macro_f1: Share | None = None
    test_accuracy: Share | None = None
    run: Text | None = None
    files: dict[str, Text] | None = None

    @property
    def diverged(self) -> bool:
        """True where the run ended without weights and predictions."""
        return self.status == "diverged"

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not self.diverged and self.val_accuracy is None:
            raise ValueError("val_accuracy is missing, though the run is finished")
        return self
