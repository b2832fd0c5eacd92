"""How much the images of a micro-batch count in the loss, of one replica or of several."""

from typing import NamedTuple

import torch
from torch import Tensor


class LossWeights(NamedTuple):
    """How much the images of a micro-batch, or of a step, count in the loss.

    Attributes
    ----------
    classes : Tensor of float32, shape (K,), or None
        The weight of each class.
    own : Tensor of float32, shape (B,), or (k, B) of k replicas
        What else an image's loss is multiplied with: its own weight, on such a scale that the sum of all weighted
        losses of a step, divided by the number of its images, is their weighted mean.
    mixed : Tensor of float32, shape of `own`, or None
        The same, of the images that mixup laid over these.
    """

    classes: Tensor | None
    own: Tensor
    mixed: Tensor | None = None

    def part(self, where: slice) -> "LossWeights":
        """Return the weights of a micro-batch, without copying."""
        return LossWeights(
            self.classes, self.own[..., where], None if self.mixed is None else self.mixed[..., where]
        )

    def of_replica(self, place: int) -> "LossWeights":
        """Return the weights of one of several replicas."""
        return LossWeights(self.classes, self.own[place], None if self.mixed is None else self.mixed[place])

    def copied(self) -> "LossWeights":
        """Return weights whose memory is their own; those of classes, which never change, are shared."""
        return LossWeights(self.classes, self.own.clone(), None if self.mixed is None else self.mixed.clone())

    @classmethod
    def stacked(cls, replicas: "list[LossWeights]") -> "LossWeights | None":
        """Return the weights of several replicas as one, of shapes (k, B); None of none."""
        if not replicas:
            return None
        mixed = [one.mixed for one in replicas if one.mixed is not None]
        own = torch.stack([one.own for one in replicas])
        return cls(replicas[0].classes, own, torch.stack(mixed) if mixed else None)
