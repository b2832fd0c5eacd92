"""A pass recorded once and replayed: on a GPU the hundred kernels of a pass then start as one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from convtrials.core.log import get_logger
from convtrials.training.replicas.batch import MicroBatch
from convtrials.training.replicas.passes import Passes
from convtrials.training.replicas.stack import Stack, stacked

_log = get_logger(__name__)

Pass = Callable[[], tuple[Tensor, Tensor]]


def cuda_graph(function: Pass) -> Pass:
    """Record what a function does on the GPU; what is returned does it again, on the same memory."""
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):  # libraries choose their kernels and workspaces before the recording
            function()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = function()

    def replay() -> tuple[Tensor, Tensor]:
        graph.replay()
        return outputs

    return replay


class Replayed:
    """Passes of one shape recorded and replayed; other shapes, such as an epoch's last step, are computed as they come.

    Where recording is not possible, a warning is logged and all passes are computed as they come.

    Parameters
    ----------
    size, of : int
        Images of the micro-batches to be replayed, and of their step.
    record : callable
        `cuda_graph`; tests put another in its place.
    """

    def __init__(
        self,
        passes: Passes,
        stack: Stack,
        size: int,
        of: int,
        *,
        record: Callable[[Pass], Pass] = cuda_graph,
    ) -> None:
        self._passes, self._stack, self._record = passes, stack, record
        self._replayed_size = (size, of)
        self._inputs: MicroBatch | None = None
        self._replay: Pass | None = None

    def give(self, noise: dict[str, Tensor]) -> None:
        """Take the dropout noise of the next pass; the same tensors for the same size, see `DropoutNoise`."""
        self._passes.give(noise)

    def __call__(self, batch: MicroBatch, of: int) -> tuple[Tensor, Tensor]:
        """See `Passes`."""
        if (batch.images.shape[1], of) != self._replayed_size:
            return self._passes(batch, of)
        if self._replay is None:
            self._begin(batch, of)
        assert self._inputs is not None
        assert self._replay is not None
        for kept, given in zip(self._inputs.tensors, batch.tensors, strict=True):
            kept.copy_(given)
        losses, correct = self._replay()
        return losses.clone(), correct.clone()  # the next replay writes to the same memory

    def _begin(self, batch: MicroBatch, of: int) -> None:
        # Each replica's images in the layout that its network gets.
        inputs = batch.copied(stacked(list(batch.images)))

        def compute() -> tuple[Tensor, Tensor]:
            return self._passes(inputs, of)

        self._inputs = inputs
        with without_traces(self._stack):
            try:
                self._replay = self._record(compute)
            except RuntimeError as error:
                why = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
                _log.warning(f"replicas: no CUDA graph ({why}); going on without")
                self._replay = compute


@contextmanager
def without_traces(stack: Stack) -> Iterator[None]:
    """Give gradients and running statistics their values back at the end of the block."""
    touched = [*stack.gradients, *stack.buffers.values()]
    before = [tensor.clone() for tensor in touched]
    try:
        yield
    finally:
        for tensor, value in zip(touched, before, strict=True):
            tensor.copy_(value)
