"""Train as notebooks do: torchvision's AlexNet on images enlarged to 64x64, PNG files decoded anew in every epoch.

The network is written out as torchvision has it, with its large stem (11x11, stride 4) and classifier (4096-4096).
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from protocol import Rounds, arguments, network_of, threads_said
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torch_network import parameters

SIZE = 64


class ImageFolder(Dataset[tuple[Tensor, int]]):
    """PNG files in a folder per class: opened, made RGB, enlarged and normalised whenever they are asked for."""

    def __init__(self, folder: Path) -> None:
        classes = sorted(path.name for path in folder.iterdir())
        self.files = [(file, classes.index(file.parent.name)) for file in sorted(folder.glob("*/*.png"))]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        file, label = self.files[index]
        with Image.open(file) as opened:
            image = opened.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div(255)
        return (pixels - 0.5) / 0.5, label


def torchvision_alexnet(classes: int) -> nn.Sequential:
    """Write out torchvision.models.alexnet (Krizhevsky, arXiv:1404.5997)."""
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, stride=2),
        nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, stride=2),
        nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(inplace=True),
        nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(inplace=True),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(3, stride=2),
        nn.AdaptiveAvgPool2d((6, 6)), nn.Flatten(),
        nn.Dropout(), nn.Linear(256 * 6 * 6, 4096), nn.ReLU(inplace=True),
        nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(inplace=True),
        nn.Linear(4096, classes),
    )  # fmt: skip


def main() -> None:
    """Train for ever."""
    rounds, options = Rounds(), arguments(__doc__)
    if options.threads:
        torch.set_num_threads(options.threads)
    model = torchvision_alexnet(network_of(options.folder)["classes"])
    choice = f"fp32, batch {options.batch_size}, {threads_said(torch.get_num_threads())}, 2 loader processes"
    rounds.introduce(parameters(model), choice, ("torch", "pillow"))

    files = ImageFolder(options.folder / "png")
    loader = DataLoader(files, batch_size=options.batch_size, shuffle=True, num_workers=2)
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
