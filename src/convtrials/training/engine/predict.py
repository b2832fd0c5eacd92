"""Class probabilities of a model for many images."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from convtrials.data.batches import Batches
from convtrials.evaluation.scores import log_losses, macro_f1_of_counts

#: Images in one evaluation batch of 28x28; fewer for larger images, so that memory stays bounded.
_EVALUATION_PIXELS = 512 * 28 * 28


def predict_probabilities(
    model: nn.Module, batches: Batches
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Classify every image of a split.

    Parameters
    ----------
    model : nn.Module
        Gives logits, shape (B, K); left in the mode it was in.
    batches : Batches
        The split.

    Returns
    -------
    probabilities : ndarray of float32, shape (N, K)
        In the split's order; rows sum to 1.
    labels : ndarray of int64, shape (N,)
    """
    was_training = model.training
    model.eval()
    height, width = batches.image_shape[:2]
    size = max(1, min(1024, _EVALUATION_PIXELS // (height * width)))
    probabilities, labels = [], []
    with torch.inference_mode():
        for start in range(0, len(batches), size):
            images, answers = batches.take(np.arange(start, min(start + size, len(batches))))
            probabilities.append(model(images).float().softmax(dim=1))
            labels.append(answers)
    model.train(was_training)
    return torch.cat(probabilities).cpu().numpy(), torch.cat(labels).cpu().numpy()  # one wait for the device


def validation_metrics(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> dict[str, float]:
    """Return ``val_loss`` (nats), ``val_accuracy`` and ``val_macro_f1`` of predictions of shape (N, K).

    Macro F1 is over the classes that occur in the labels; a class never predicted counts as zero. The loss is NaN
    where a true class's probability is.
    """
    chosen = probabilities.argmax(axis=1)
    classes = probabilities.shape[1]
    hits = np.bincount(labels[chosen == labels], minlength=classes)
    support = np.bincount(labels, minlength=classes)
    claims = np.bincount(chosen, minlength=classes)
    return {
        "val_loss": float(log_losses(probabilities, labels).mean()),
        "val_accuracy": float((chosen == labels).mean()),
        "val_macro_f1": float(macro_f1_of_counts(support, claims, hits)),
    }
