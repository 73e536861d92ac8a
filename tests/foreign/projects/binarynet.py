"""BinaryNet.pytorch's modules as that project runs them, of both ages and any width."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BinarizeConv2d(nn.Conv2d):
    """As of 2023: the latent weight stays in the module."""

    def forward(self, x: Tensor) -> Tensor:
        if x.size(1) != 3:
            x = x.sign()
        out = F.conv2d(x, self.weight.sign(), None, self.stride, self.padding)
        return out if self.bias is None else out + self.bias.view(1, -1, 1, 1)


class BinarizeLinear(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        if x.size(1) != 784:
            x = x.sign()
        out = F.linear(x, self.weight.sign())
        return out if self.bias is None else out + self.bias.view(1, -1)


def as_before_2023(net: nn.Module) -> None:
    """What a validation of the older code leaves in the modules: signs in place of the weights."""
    for m in net.modules():
        if isinstance(m, BinarizeConv2d | BinarizeLinear):
            m.weight.data = m.weight.data.sign()


class Vgg(nn.Module):
    def __init__(self, w: int, hidden: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for outputs, pooled in ((w, 0), (w, 1), (2 * w, 0), (2 * w, 1), (4 * w, 0), (4, 1)):
            layers.append(BinarizeConv2d(channels, outputs, 3, padding=1))
            layers += [nn.MaxPool2d(2, 2)] * pooled
            layers += [nn.BatchNorm2d(outputs), nn.Hardtanh()]
            channels = outputs
        self.features = nn.Sequential(*layers)
        self.classifier = _classifier(4 * 16, hidden, False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.classifier(self.features(x).flatten(1))
        return out


class AlexNet(nn.Module):
    def __init__(self, w: int, maps: int, hidden: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for outputs, size, stride, padding, pooled in (
            (w, 11, 4, 2, 1),
            (2 * w, 5, 1, 2, 1),
            (3 * w, 3, 1, 1, 0),
            (2 * w, 3, 1, 1, 0),
            (w + 1, 3, 1, 1, 1),
        ):
            layers.append(BinarizeConv2d(channels, outputs, size, stride, padding))
            layers += [nn.MaxPool2d(3, 2)] * pooled
            layers += [nn.BatchNorm2d(outputs), nn.Hardtanh()]
            channels = outputs
        self.features = nn.Sequential(*layers)
        self.classifier = _classifier(channels * maps, hidden, True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.classifier(self.features(x).flatten(1))
        return out


def _classifier(features: int, hidden: int, affine: bool) -> nn.Sequential:
    return nn.Sequential(
        BinarizeLinear(features, hidden),
        nn.BatchNorm1d(hidden),
        nn.Hardtanh(),
        BinarizeLinear(hidden, hidden),
        nn.BatchNorm1d(hidden),
        nn.Hardtanh(),
        BinarizeLinear(hidden, 10),
        nn.BatchNorm1d(10, affine=affine),
        nn.LogSoftmax(dim=1),
    )


class Mnist(nn.Module):
    def __init__(self, w: int) -> None:
        super().__init__()
        self.fc1 = BinarizeLinear(784, w)
        self.bn1 = nn.BatchNorm1d(w)
        self.fc2 = BinarizeLinear(w, w)
        self.bn2 = nn.BatchNorm1d(w)
        self.fc3 = BinarizeLinear(w, w)
        self.bn3 = nn.BatchNorm1d(w)
        self.fc4 = nn.Linear(w, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.hardtanh(self.bn1(self.fc1(x.view(-1, 784))))
        x = F.hardtanh(self.bn2(self.fc2(x)))
        x = F.hardtanh(self.bn3(self.fc3(x)))
        return torch.log_softmax(self.fc4(x), 1)
