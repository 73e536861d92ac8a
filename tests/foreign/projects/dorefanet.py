"""pytorch_DoReFaNet's AlexNet_Q as that project runs it, of any width."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def quantised(x: Tensor, bits: int) -> Tensor:
    if bits == 32:
        return x
    if bits == 1:
        return torch.sign(x)
    n = float(2**bits - 1)
    return torch.round(x * n) / n


def weight_of(x: Tensor, bits: int) -> Tensor:
    if bits == 1:
        e = x.abs().mean()
        return quantised(x / e, 1) * e
    weight = torch.tanh(x)
    largest = weight.abs().max()
    return largest * (2 * quantised(weight / 2 / largest + 0.5, bits) - 1)


class Conv2dQ(nn.Conv2d):
    bits = 1

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, weight_of(self.weight, self.bits), self.bias, self.stride, self.padding)


class LinearQ(nn.Linear):
    bits = 1

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, weight_of(self.weight, self.bits), self.bias)


class Activation(nn.Module):
    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits

    def forward(self, x: Tensor) -> Tensor:
        return x if self.bits == 32 else quantised(torch.clamp(x, 0, 1), self.bits)


class AlexNetQ(nn.Module):
    def __init__(self, weights: int, activations: int, w: int, maps: int, hidden: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, w, 11, 4, 2),
            nn.BatchNorm2d(w),
            nn.MaxPool2d(3, 2),
            nn.ReLU(),
            Conv2dQ(w, 2 * w, 5, padding=2),
            nn.BatchNorm2d(2 * w),
            nn.MaxPool2d(3, 2),
            nn.ReLU(),
            Activation(activations),
            Conv2dQ(2 * w, 3 * w, 3, padding=1),
            nn.ReLU(),
            Activation(activations),
            Conv2dQ(3 * w, 3 * w, 3, padding=1),
            nn.ReLU(),
            Activation(activations),
            Conv2dQ(3 * w, 2 * w, 3, padding=1),
            nn.MaxPool2d(3, 2),
            nn.ReLU(),
            Activation(activations),
        )
        self.classifier = nn.Sequential(
            LinearQ(2 * w * maps, hidden),
            nn.ReLU(),
            Activation(activations),
            LinearQ(hidden, hidden),
            nn.ReLU(),
            Activation(activations),
            nn.Linear(hidden, 10),
        )
        for m in self.modules():
            if isinstance(m, Conv2dQ | LinearQ):
                m.bits = weights

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.classifier(self.features(x).flatten(1))
        return out
