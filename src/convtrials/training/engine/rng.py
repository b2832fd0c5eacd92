"""Random draws that layers make by themselves, such as dropout: a function of a seed, not of what ran before."""

import torch


def seed_layers(seed: int, device: torch.device) -> None:
    """Set the generators from which layers draw on the CPU and on the device.

    The same draws as after ``torch.manual_seed``, which also leaves word for every kind of device that is not there: a
    stack trace a call, kept for ever. At one call a step that is 2% of the time of a small network, and a leak.

    Parameters
    ----------
    seed : int
    device : torch.device
        Where the network is.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
