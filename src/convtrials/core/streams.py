"""Randomness as a function: every draw comes from ``(seed, stream, step)``.

No generator is carried from step to step, so a resumed run needs no generator state, and two recipes with one seed
share what they can: initial weights of equal shape, the order of examples, the draws of augmentation.
"""

import hashlib

import numpy as np


def stream_seed(seed: int, stream: str, step: int = 0) -> int:
    """Mix ``(seed, stream, step)`` into one seed.

    Parameters
    ----------
    seed : int
        The run's seed, any integer.
    stream : str
        What the draw is for, such as ``"order"``.
    step : int
        The step (or epoch, or layer) that the draw belongs to.

    Returns
    -------
    int
        A value in ``[0, 2**63)``, fit for ``torch.manual_seed`` and NumPy alike.

    Examples
    --------
    >>> stream_seed(0, "order", 1) == stream_seed(0, "order", 1)
    True
    >>> stream_seed(0, "order", 1) == stream_seed(0, "augment", 1)
    False
    """
    digest = hashlib.blake2b(f"{seed}/{stream}/{step}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def stream_generator(seed: int, stream: str, step: int = 0) -> np.random.Generator:
    """Return a NumPy generator for ``(seed, stream, step)``.

    Philox is a counter-based generator whose output NumPy keeps stable between versions.
    """
    return np.random.Generator(np.random.Philox(key=stream_seed(seed, stream, step)))
