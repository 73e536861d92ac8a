"""A network of one's own, from training to an accelerator: ``python examples/own_network.py [FOLDER]``.

A module with a forward of its own and functional calls; not one of the project's recipes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import xnorhw
from xnorhw import nn as xnn


class Net(nn.Module):
    """Pixels [N, 1, 8, 8] -> scores [N, 10]; no scales, as in BNN."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.quant = xnn.InputQuant(mean=0.5, std=0.5)
        self.first = xnn.BinaryConv2d(1, width, 3, in_scale=self.quant.scale)
        self.norm = nn.BatchNorm2d(width)
        self.second = xnn.BinaryConv2d(width, width, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(width)
        self.sign = xnn.Sign()
        self.last = xnn.BinaryLinear(width * 9, 10, scale="channel")

    def forward(self, x: Tensor) -> Tensor:
        x = self.sign(self.norm(self.first(self.quant(x))))
        x = self.sign(self.norm2(self.second(x)))
        x = F.max_pool2d(x, 2)
        return self.last(x.flatten(1))


def train(net: Net, data: xnn.DigitsData, epochs: int) -> float:
    """Train in place; the accuracy on the test split."""
    pixels, labels = torch.from_numpy(data.train_pixels).float(), torch.from_numpy(data.train_labels)
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    xnor = xnn.XnorStep(net)
    for _ in range(epochs):
        for batch in torch.randperm(len(labels)).split(64):
            loss = F.cross_entropy(net(pixels[batch]) / 8, labels[batch])
            optimizer.zero_grad()
            loss.backward()
            xnor.step(optimizer)
    net.eval()
    with torch.inference_mode():
        decided = net(torch.from_numpy(data.test_pixels).float()).argmax(dim=1).numpy()
    return float((decided == data.test_labels).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("own"))
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)

    torch.manual_seed(0)
    data = xnn.digits_data()
    net = Net()
    accuracy = train(net, data, options.epochs)
    path = options.folder / "own.pt"
    xnorhw.save(net, path, xnorhw.Input((1, 8, 8)), samples=data.test_pixels, labels=data.test_labels)

    model = xnorhw.load(path)
    build = model.build("pynq-z2", options.folder / "out", target_fps=100_000)
    integer = (model.predict(data.test_pixels).argmax(axis=1) == data.test_labels).mean()
    print(f"accuracy: {100 * accuracy:.2f} % in PyTorch, {100 * integer:.2f} % in integers")
    print(f"{build.report.fps:,.0f} frames a second by formula; see {build.folder / 'report.html'}")


if __name__ == "__main__":
    main()
