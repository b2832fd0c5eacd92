"""Train with PyTorch alone: the loop of the tutorials, tensors in memory, every default."""

import torch
from protocol import Rounds, arguments, network_of, threads_said
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torch_network import build, parameters, tensors


def main() -> None:
    """Train for ever."""
    rounds, options = Rounds(), arguments(__doc__)
    if options.threads:
        torch.set_num_threads(options.threads)
    model = build(network_of(options.folder))
    rounds.introduce(parameters(model), f"fp32, {threads_said(torch.get_num_threads())}", ("torch",))

    loader = DataLoader(TensorDataset(*tensors(options.folder)), batch_size=options.batch_size, shuffle=True)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-4)
    model.train()
    while True:
        for images, labels in loader:
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            rounds.after_step(len(images), loss.detach())


if __name__ == "__main__":
    main()
