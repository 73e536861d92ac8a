"""XNOR-Net-PyTorch's modules as that project runs them, of any width: BinConv2d, BinOp and three networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BinConv2d(nn.Module):
    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel_size: int = -1,
        padding: int = 0,
        groups: int = 1,
        dropout: float = 0.0,
        linear: bool = False,
        size: int = 0,
    ) -> None:
        super().__init__()
        self.inputs, self.is_linear, self.size = inputs, linear, size
        self.dropout_ratio = dropout
        if dropout:
            self.dropout = nn.Dropout(dropout)
        if linear:
            self.bn: nn.Module = (
                nn.BatchNorm2d(inputs // size, eps=1e-4) if size else nn.BatchNorm1d(inputs, eps=1e-4)
            )
            self.linear = nn.Linear(inputs, outputs)
        else:
            self.bn = nn.BatchNorm2d(inputs, eps=1e-4)
            self.conv = nn.Conv2d(inputs, outputs, kernel_size, padding=padding, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(x).sign()
        if self.dropout_ratio:
            x = self.dropout(x)
        if self.is_linear:
            if self.size:
                x = x.view(x.size(0), self.inputs)
            x = self.linear(x)
        else:
            x = self.conv(x)
        return torch.relu(x)


def _clamp_norms(net: nn.Module) -> None:
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d | nn.BatchNorm1d) and m.weight is not None:
            m.weight.data.clamp_(min=0.01)


class LeNet5(nn.Module):
    def __init__(self, width: int = 20, second: int = 50, hidden: int = 500) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 5)
        self.bn_conv1 = nn.BatchNorm2d(width, eps=1e-4, affine=False)
        self.pool1 = nn.MaxPool2d(2, 2)
        self.bin_conv2 = BinConv2d(width, second, 5)
        self.pool2 = nn.MaxPool2d(2, 2)
        self.bin_ip1 = BinConv2d(second * 16, hidden, linear=True, size=16)
        self.ip2 = nn.Linear(hidden, 10)

    def forward(self, x: Tensor) -> Tensor:
        _clamp_norms(self)
        x = self.pool1(torch.relu(self.bn_conv1(self.conv1(x))))
        x = self.bin_ip1(self.pool2(self.bin_conv2(x)))
        out: Tensor = self.ip2(x)
        return out


class Nin(nn.Module):
    def __init__(self, w: int = 192) -> None:
        super().__init__()
        half = w // 2
        self.xnor = nn.Sequential(
            nn.Conv2d(3, w, 5, padding=2),
            nn.BatchNorm2d(w, eps=1e-4, affine=False),
            nn.ReLU(),
            BinConv2d(w, w - 2, 1),
            BinConv2d(w - 2, half, 1),
            nn.MaxPool2d(3, 2, 1),
            BinConv2d(half, w, 5, 2, dropout=0.5),
            BinConv2d(w, w, 1),
            BinConv2d(w, w, 1),
            nn.AvgPool2d(3, 2, 1),
            BinConv2d(w, w, 3, 1, dropout=0.5),
            BinConv2d(w, w, 1),
            nn.BatchNorm2d(w, eps=1e-4, affine=False),
            nn.Conv2d(w, 10, 1),
            nn.ReLU(),
            nn.AvgPool2d(8, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        _clamp_norms(self)
        out: Tensor = self.xnor(x)
        return out.view(out.size(0), 10)


class AlexNet(nn.Module):
    def __init__(
        self, w: int = 96, maps: int = 36, hidden: int = 4096, classes: int = 1000, groups: int = 1
    ) -> None:
        super().__init__()
        a, b, c = w * 8 // 3, w * 4, w * 8 // 3
        self.features = nn.Sequential(
            nn.Conv2d(3, w, 11, 4),
            nn.BatchNorm2d(w, eps=1e-4),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            BinConv2d(w, a, 5, 2, groups=groups),
            nn.MaxPool2d(3, 2),
            BinConv2d(a, b, 3, 1),
            BinConv2d(b, b, 3, 1, groups=groups),
            BinConv2d(b, c, 3, 1, groups=groups),
            nn.MaxPool2d(3, 2),
        )
        self.classifier = nn.Sequential(
            BinConv2d(c * maps, hidden, linear=True),
            BinConv2d(hidden, hidden, dropout=0.5, linear=True),
            nn.BatchNorm1d(hidden, eps=1e-3),
            nn.Dropout(),
            nn.Linear(hidden, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        out: Tensor = self.classifier(x.view(x.size(0), -1))
        return out


class BinOp:
    """The project's binarisation of all layers but the first and the last."""

    def __init__(self, model: nn.Module) -> None:
        layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        self.targets = [m.weight for m in layers[1:-1]]
        self.saved: list[Tensor] = []

    def binarization(self, recentre: bool = True) -> None:
        for weight in self.targets:
            if recentre:
                weight.data = weight.data.add(
                    weight.data.mean(1, keepdim=True).mul(-1).expand_as(weight.data)
                )
                weight.data = weight.data.clamp(-1.0, 1.0)
        self.saved = [w.data.clone() for w in self.targets]
        for weight in self.targets:
            s = weight.data.size()
            n = weight.data[0].nelement()
            if len(s) == 4:
                m = weight.data.norm(1, 3, keepdim=True).sum(2, keepdim=True).sum(1, keepdim=True).div(n)
            else:
                m = weight.data.norm(1, 1, keepdim=True).div(n)
            weight.data = weight.data.sign().mul(m.expand(s))

    def restore(self) -> None:
        for weight, saved in zip(self.targets, self.saved, strict=True):
            weight.data.copy_(saved)
